"""Views of states: shapes without elements, which detectors that find nothing have."""

from __future__ import annotations

import pytest

from rfcalc.maps.regroup import reshaped
from rfcalc.maps.state import image


@pytest.mark.parametrize("shape", [(2, 0, 3), (0,), (0, 1), (1, 0, 4, 0)])
def test_a_view_without_elements_sees_nothing(shape: tuple[int, ...]) -> None:
    state = reshaped(image((1, 0, 6, 4), 2), shape)
    assert state.shape == shape
    assert state.paths == ()
