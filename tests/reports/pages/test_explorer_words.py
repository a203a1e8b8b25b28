"""What the explorer explains: the arithmetic of an extent, what a join reads, and words for all flags."""

from __future__ import annotations

from pathlib import Path

import pytest

import rfcalc
from reports.pages.explorer import explore
from reports.pages.explorer_layers import _HEADINGS
from reports.pages.explorer_words import COLUMNS, FLAGS
from rfcalc.maps.field import FLAGS as ALL_FLAGS

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture(scope="module")
def lines() -> dict[str, dict[str, object]]:
    analysis = rfcalc.analyze(rfcalc.load_model(str(EXAMPLES / "c1c2c3c4.py")))
    return {line["name"]: line for line in explore(analysis)["lines"]}


def test_the_formula_has_the_layers_own_numbers(lines: dict[str, dict[str, object]]) -> None:
    assert lines["c3.1.0"]["formula"] == "39 = 23 + (3 - 1) x 2 x 4"
    assert lines["c3.1.0"]["window"] == "3/1/2"
    assert lines["c1.0.0"]["formula"] == "3 = 1 + (3 - 1) x 1 x 1"
    assert lines["mean"]["formula"] == ""


def test_a_join_names_the_two_maps_that_it_reads() -> None:
    analysis = rfcalc.analyze(rfcalc.load_model(str(EXAMPLES / "decoder.py")))
    lines = {line["name"]: line for line in explore(analysis)["lines"]}
    assert sorted(lines["concat"]["reads"]) == ["down1.0", "up1"]
    assert lines["up1"]["formula"] == ""  # the phases of a transposed convolution have no such sum


def test_every_column_and_every_flag_is_explained() -> None:
    assert {title for title, _ in _HEADINGS} == set(COLUMNS)
    assert set(ALL_FLAGS) == set(FLAGS)
