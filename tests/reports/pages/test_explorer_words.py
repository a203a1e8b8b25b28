"""What the explorer explains: the arithmetic of an extent, what a join reads, and words for all flags."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

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
    assert lines["c2.0.0"]["window"] == "3/1/1/48"
    assert lines["c1.0.0"]["formula"] == "3 = 1 + (3 - 1) x 1 x 1"
    assert lines["mean"]["formula"] == lines["output"]["formula"] == ""


@pytest.mark.parametrize(
    ("name", "layer"), [("c1c2c3c4.py", "c3.0.0"), ("decoder.py", "concat#2")], ids=["kernel", "join"]
)
def test_the_page_opens_on_a_layer_that_sees_a_part_of_the_image(name: str, layer: str) -> None:
    analysis = rfcalc.analyze(rfcalc.load_model(str(EXAMPLES / name)))
    data = explore(analysis)
    assert data["lines"][data["opens"]]["name"] == layer


def test_a_join_names_the_two_maps_that_it_reads() -> None:
    analysis = rfcalc.analyze(rfcalc.load_model(str(EXAMPLES / "decoder.py")))
    found = explore(analysis)["lines"]
    lines = {line["name"]: line for line in found}
    assert sorted(found[place]["name"] for place in lines["concat"]["reads"]) == ["down1.0", "up1"]
    assert lines["concat"]["formula"] == "13 = max(5, 13)"
    assert lines["up1"]["formula"] == ""  # the phases of a transposed convolution have no such sum


def test_the_sum_of_a_join_of_many_maps_leaves_some_out() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(3, 3, size, padding=size // 2) for size in (1, 3, 5, 7, 9))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([conv(x) for conv in self.convs], dim=1)

    (join,) = (line for line in explore(rfcalc.analyze(Many()))["lines"] if line["op"] == "concat")
    assert join["formula"] == "9 = max(1, 3, ..., 9)"
    assert join["reads"] == [0, 1, 2, 3, 4]


def test_every_column_and_every_flag_is_explained() -> None:
    assert {title for title, _ in _HEADINGS} == set(COLUMNS)
    assert set(ALL_FLAGS) == set(FLAGS)
