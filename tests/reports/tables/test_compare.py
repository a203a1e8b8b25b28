import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reports.errors import ReportError
from reports.tables import compare

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SIZE = (3, 32, 32)


@pytest.fixture
def sides(make_search: Callable[..., Path]) -> list[compare.Side]:
    given = [str(make_search(trials=3)), str(EXAMPLES / "c1c2c3c4.py")]
    return [compare.look(each, SIZE) for each in given]


def test_run_folders_and_networks_stand_side_by_side(sides: list[compare.Side]) -> None:
    facts = {str(row[0]): row[1:] for row in compare.overview(sides).rows}
    assert facts["receptive field"] == ("69", "63")
    assert facts["accuracy"] == ("87.15 %", None)
    assert facts["measured on"] == ("test, n = 1", None)
    assert facts["data set"] == ("shapes (drawn, NOT CIFAR-10)", None)


def test_parameters_are_those_of_the_modules(sides: list[compare.Side]) -> None:
    import rfcalc

    model = rfcalc.load_model(str(EXAMPLES / "c1c2c3c4.py"))
    assert isinstance(model, torch.nn.Module)
    facts = {row[0]: row[2] for row in compare.overview(sides).rows}
    assert facts["params"] == f"{sum(p.numel() for p in model.parameters()):,}"


def test_facts_that_no_side_has_are_left_out() -> None:
    alone = compare.look(str(EXAMPLES / "decoder.py"), SIZE)
    names = [row[0] for row in compare.overview([alone]).rows]
    assert "accuracy" not in names
    assert "params" in names


def test_a_network_differs_from_itself_in_no_layer() -> None:
    side = compare.look(str(EXAMPLES / "c1c2c3c4.py"), SIZE)
    assert {row[0] for row in compare.layers(side, side).rows} == {"="}


def test_every_layer_of_both_networks_is_shown_once(sides: list[compare.Side]) -> None:
    rows = compare.layers(*sides).rows
    for column, side in ((3, sides[0]), (7, sides[1])):
        assert sum(row[column] or 0 for row in rows) == side.analysis.params
    for sign, left, right in ((row[0], row[1], row[5]) for row in rows):
        assert {"-": right is None, "+": left is None}.get(sign, left is not None and right is not None)


def test_a_run_without_source_has_its_recorded_figures(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    (folder / "model.py").unlink()
    side = compare.look(str(folder), SIZE)
    facts = {row[0]: row[1] for row in compare.overview([side]).rows}
    assert facts["params"] == "33,418"
    assert facts["receptive field"] == "61x61"
    with pytest.raises(ReportError, match=r"has no model\.py"):
        compare.layers(side, side)


def test_a_search_without_a_winner_is_refused(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=2, best=False, state="running", stage="trials")
    with pytest.raises(ReportError, match="has no winner yet"):
        compare.look(str(folder), SIZE)


def test_csv_of_the_comparison_can_be_read_back(sides: list[compare.Side]) -> None:
    rows = list(csv.reader(io.StringIO(compare.overview(sides).to_csv())))
    assert [len(row) for row in rows] == [3] * len(rows)
