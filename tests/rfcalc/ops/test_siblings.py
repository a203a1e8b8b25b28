"""Ops beside the usual ones: other overloads, operands of the input on both sides, writing out of place."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from rfcalc import analyze, verify

UNSURE = {"unknown", "probed"}

Function = Callable[[torch.Tensor], torch.Tensor]


class After(nn.Module):
    """A 3x3 convolution, then a function."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(3, 4, 3, padding=1), function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.conv(x))


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize(
    "choose",
    [lambda y, d, k: y.kthvalue(2, d, k), lambda y, d, k: y.mode(d, k), lambda y, d, k: y.median(d, k)],
    ids=["kthvalue", "mode", "median"],
)
def test_a_value_chosen_along_a_dimension_reads_all_of_it(
    choose: Callable[[torch.Tensor, int, bool], tuple[torch.Tensor, torch.Tensor]], dim: int, keepdim: bool
) -> None:
    model = After(lambda y: choose(y, dim, keepdim)[0])
    analysis = analyze(model, (3, 6, 8))
    unit = (0,) * len(analysis.output.positions)
    rows, columns = analysis.output.inputs_seen(*unit)
    assert rows == (set(range(6)) if dim == 2 else {0, 1})
    assert columns == (set(range(8)) if dim == 3 else {0, 1})
    assert verify(model, analysis).ok


@pytest.mark.parametrize("running", [torch.cummax, torch.cummin], ids=["cummax", "cummin"])
def test_a_running_extremum_may_be_any_value_so_far(running: Callable[..., tuple[torch.Tensor, ...]]) -> None:
    model = After(lambda y: running(y, 3)[0])
    analysis = analyze(model, (3, 4, 9))
    assert analysis.output.inputs_seen(0, 5)[1] == set(range(7))
    assert "data-dependent" in analysis.output.flags
    assert verify(model, analysis).ok


@pytest.mark.parametrize(
    "product",
    [
        lambda y: y[0, 0] @ y[0, 1, 0, :6],
        lambda y: torch.mv(y[0, 0], y[0, 1, 2, :6]),
        lambda y: torch.dot(y[0, 0, 0], y[0, 1, 5]).view(1),
    ],
    ids=["matmul", "mv", "dot"],
)
def test_a_matrix_times_a_vector_reads_both(product: Function) -> None:
    model = After(product)
    analysis = analyze(model, (3, 6, 6))
    result = verify(model, analysis, units=0, rows=[analysis.rows[-1].name])
    assert result.checked
    assert not result.mismatches


WRITTEN: dict[str, Function] = {
    "slice": lambda y: torch.slice_scatter(y, y[:, :, :3].roll(1, 3), 2, 3, 6),
    "select": lambda y: torch.select_scatter(y, y[:, :, 0], 2, 4),
    "diagonal": lambda y: torch.diagonal_scatter(y, y[:, :, 0], 0, 2, 3),
    "named": lambda y: torch.slice_scatter(input=y, src=y[:, :, :, :3], dim=3, start=0, end=6, step=2),
}


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_writing_out_of_place_is_exact(write: Function) -> None:
    """What torch.export and functionalisation make of `y[:, :, 3:6] = ...`."""
    model = After(write)
    analysis = analyze(model, (3, 6, 6))
    assert not analysis.output.flags & UNSURE
    assert not analysis.output.is_global
    result = verify(model, analysis, units=0, rows=[analysis.rows[-1].name])
    assert result.checked == 36
    assert not result.mismatches


def test_an_op_without_a_derivative_is_skipped_with_its_name() -> None:
    model = After(lambda y: y.unique())
    result = verify(model, analyze(model, (3, 6, 6)))
    assert [name for name, _ in result.skipped] == ["unique2"]
    assert not result.mismatches
