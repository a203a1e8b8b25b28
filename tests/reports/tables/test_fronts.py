"""Whether a cost differs between the trials at all."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from records.search import FrontPoint
from records.story import details
from records.trial import TrialRecord
from reports.pages.page import search_page
from reports.runs import open_search
from reports.tables import fronts, summary


def test_networks_filled_up_to_one_limit_have_no_cheaper_choice(
    make_trial: Callable[..., TrialRecord],
) -> None:
    def trials(*params: int, state: str = "complete") -> list[TrialRecord]:
        made = [(make_trial(at), each) for at, each in enumerate(params)]
        return [dataclasses.replace(trial, params=each, state=state) for trial, each in made]

    params = fronts.COSTS["params"]
    assert fronts.level(trials(95_000, 99_900, 100_000), params)
    assert not fronts.level(trials(94_999, 99_900, 100_000), params)
    # A network that was given up does not count, and one alone shows no spread.
    assert fronts.level([*trials(99_000, 100_000), *trials(10_000, state="pruned")], params)
    assert not fronts.level(trials(99_000), params)


def test_the_front_shows_what_was_optimised(make_search: Callable[..., Path]) -> None:
    points = (
        FrontPoint(3, 0.8123, 97_000, 8_000_000, {"accuracy": 0.8123, "flash": 105_332.0}),
        FrontPoint(1, 0.75, 50_000, 4_000_000, {"accuracy": 0.75, "flash": 60_000.0}),
    )
    run = open_search(make_search(trials=4, front=points))
    found = fronts.of_objectives(run.record)
    assert found is not None
    assert [column.title for column in found.columns] == [
        *("trial", "validation accuracy", "flash", "params", "MACs"),
    ]
    assert found.shown()[0] == ["3", "81.23 %", "105,332 bytes", "97,000", "8.00 M"]
    text = search_page(run)
    assert 'id="front-of-objectives"' in text
    assert ">105,332 bytes<" in text
    console = Console(file=io.StringIO(), width=200, record=True)
    summary.show(run, console)
    assert "105,332 bytes" in console.export_text()
    lines = list(details(run.record, run.trials))
    assert "front: trial 1, accuracy 75.00 %, flash 60,000 bytes" in lines


def test_a_front_by_loss_shows_the_accuracy_beside_it(make_search: Callable[..., Path]) -> None:
    point = FrontPoint(3, 0.8123, 97_000, 8_000_000, {"loss": 0.69314, "macs": 8_000_000.0})
    found = fronts.of_objectives(open_search(make_search(trials=4, front=(point,))).record)
    assert found is not None
    assert found.shown() == [["3", "0.6931", "8,000,000", "81.23 %", "97,000"]]


def test_a_front_of_an_earlier_version_has_no_table_but_a_line(make_search: Callable[..., Path]) -> None:
    run = open_search(make_search(trials=4, front=(FrontPoint(3, 0.5, 97_000, 8_000_000),)))
    assert fronts.of_objectives(run.record) is None
    lines = list(details(run.record, run.trials))
    assert "front: trial 3, accuracy 50.00 %, params 97,000, macs 8,000,000" in lines
