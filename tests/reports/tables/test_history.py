"""How a search went: the best network so far, and the way to the winner."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from reports.runs import open_search
from reports.tables import history


def test_a_search_by_loss_lists_each_completed_trial_that_had_the_least_so_far(
    make_climb: Callable[..., Path],
) -> None:
    run = open_search(make_climb(trials=30))
    complete = [trial for trial in run.trials if trial.state == "complete"]
    expected, least = [], 9.0
    for trial in complete:
        if trial.loss is not None and trial.loss < least:
            expected.append(trial.number)
            least = trial.loss
    table = history.improvements(run)
    assert history.by_loss(run)
    assert len(expected) > 1
    assert [row[0] for row in table.rows] == expected
    titles = [column.title for column in table.columns]
    assert titles[2:] == ["validation loss", "validation accuracy", "better by"]
    gains = [row[-1] for row in table.rows]
    assert gains[0] is None
    assert all(gain > 0 for gain in gains[1:])


def test_a_search_by_accuracy_has_no_loss_in_its_history(make_search: Callable[..., Path]) -> None:
    run = open_search(make_search(trials=20))
    table = history.improvements(run)
    assert not history.by_loss(run)
    assert "validation loss" not in [column.title for column in table.columns]
    scores = [row[2] for row in table.rows]
    assert scores == sorted(scores)
    pruned = {trial.number for trial in run.trials if trial.state != "complete"}
    assert pruned
    assert not pruned & {row[0] for row in table.rows}


def test_a_trial_says_where_it_comes_from(make_climb: Callable[..., Path]) -> None:
    run = open_search(make_climb())
    trials, record = run.trials, run.record
    assert history.origin(trials[0], record) == "preset tiny"
    assert history.origin(trials[3], record) == "trial 2 with c4 x 1.4; c4 gated"
    assert history.origin(dataclasses.replace(trials[3], parent=None), record) == "proposed"
    given = dataclasses.replace(record, settings={**record.settings, "given": {"tiny": {}}})
    assert history.origin(trials[0], given) == "given network tiny"


def test_the_way_to_the_winner_has_a_row_a_step(make_climb: Callable[..., Path]) -> None:
    record = open_search(make_climb()).record
    table = history.way(record)
    assert table is not None
    assert table.shown() == [
        ["0", "1", "residual", "-", "-"],
        ["1", "2", "c3 x 1.4", "-0.0200", "0.0100"],
        ["2", "4", "c1 x 1.4; c4 gated", "-0.0100", "0.0200"],
    ]
    assert history.way(dataclasses.replace(record, lineage=())) is None


@pytest.mark.parametrize("objectives", [["accuracy"], ["accuracy", "macs"], None])
def test_without_loss_as_the_first_objective_the_history_goes_by_accuracy(
    make_climb: Callable[..., Path], objectives: list[str] | None
) -> None:
    run = open_search(make_climb())
    settings = {**run.record.settings, "objectives": objectives}
    changed = dataclasses.replace(run, record=dataclasses.replace(run.record, settings=settings))
    assert not history.by_loss(changed)
