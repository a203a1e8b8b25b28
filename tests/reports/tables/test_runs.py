import dataclasses
import html
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from records.outcome import outcome
from records.search import PresetRun, ScreeningRecord
from records.trial import TrialRecord
from reports.pages.page import write_search_report
from reports.runs import open_search
from reports.tables import fronts
from reports.tables import runs as tables
from reports.tables.summary import show
from search.propose.objectives import front


def scored(trial: TrialRecord, number: int, score: float | None, params: int) -> TrialRecord:
    return dataclasses.replace(trial, number=number, score=score, params=params)


def test_the_pareto_front_holds_what_nothing_beats(make_trial: Callable[..., TrialRecord]) -> None:
    trial = make_trial(0)
    given = [
        (1, 0.7, 100),
        (2, 0.8, 200),
        (3, 0.75, 300),
        (4, 0.8, 400),
        (5, 0.7, 90),
        (6, 0.9, 400),
        (7, None, 1),
    ]
    found = fronts.pareto([scored(trial, *each) for each in given], lambda each: each.params)
    assert [each.number for each in found] == [5, 2, 6]


def test_the_pareto_front_agrees_with_its_definition(make_trial: Callable[..., TrialRecord]) -> None:
    given = [make_trial(number) for number in range(200)]
    found = {each.number for each in fronts.pareto(given, lambda each: each.params)}
    trials = [trial for trial in given if trial.state == "complete" and trial.score is not None]
    assert found < {trial.number for trial in trials}
    for each in trials:
        beaten = any(
            other.score >= each.score
            and other.params <= each.params
            and (other.score, other.params) != (each.score, each.params)
            for other in trials
        )
        assert (each.number in found) is not beaten


def test_a_pruned_trial_is_neither_on_the_front_nor_beats_one_that_is(
    make_trial: Callable[..., TrialRecord],
) -> None:
    complete = dataclasses.replace(scored(make_trial(0), 1, 0.7, 200), state="complete")
    pruned = dataclasses.replace(scored(make_trial(0), 2, 0.8, 100), state="pruned")
    assert fronts.pareto([complete, pruned], lambda each: each.params) == [complete]


@pytest.mark.parametrize("name", ["params", "macs"])
def test_the_page_draws_the_front_that_the_search_records(
    make_trial: Callable[..., TrialRecord], name: str
) -> None:
    trials = [make_trial(number) for number in range(200)]
    trials.append(dataclasses.replace(trials[0], number=200))
    recorded = [point.number for point in front(trials, ("accuracy", name))]
    drawn = fronts.pareto(trials, lambda trial: int(getattr(trial, name)))
    assert [trial.number for trial in reversed(drawn)] == recorded


def test_limits_that_do_not_hold_are_marked(make_search: Callable[..., Path]) -> None:
    record = open_search(make_search(trials=3)).record
    broken = dataclasses.replace(record.verdict[0], margin=4.0, holds=False)
    unknown = dataclasses.replace(record.verdict[1], holds=None)
    table = tables.verdict(dataclasses.replace(record, verdict=(broken, unknown)))
    assert [row[1] for row in table.rows] == ["BROKEN", "not judged"]
    assert [row[-1] for row in table.rows] == [4.0, None]


def test_a_limit_says_which_side_of_its_number_holds(make_search: Callable[..., Path]) -> None:
    record = open_search(make_search(trials=3)).record
    bare = [("max_params", 99_999), ("min_dilated", 1), ("stages", 4), ("require_gap", True)]
    limits = tuple(dataclasses.replace(record.verdict[0], name=name, limit=limit) for name, limit in bare)
    shown = [row[3] for row in tables.verdict(dataclasses.replace(record, verdict=limits)).rows]
    assert shown == ["<= 99,999", ">= 1", "4", "yes"]


def test_every_trial_has_its_proposal_in_the_table(make_trial: Callable[..., TrialRecord]) -> None:
    chosen = [make_trial(number) for number in range(4)]
    chosen[1] = dataclasses.replace(chosen[1], values={"kernel": "3x3"})
    table = tables.trials(chosen, "Trials")
    titles = [column.title for column in table.columns]
    assert titles[6:11] == ["c1_width", "c2_width", "c3_width", "c4_width", "kernel"]
    assert table.rows[1][6:11] == (None, None, None, None, "3x3")
    assert table.shown()[0][6] == str(chosen[0].values["c1_width"])


def test_reasons_are_counted_and_name_their_trials(make_search: Callable[..., Path]) -> None:
    run = open_search(make_search(trials=50))
    rows = tables.given_up(run.trials).rows
    assert sum(row[2] for row in rows) == sum(trial.state != "complete" for trial in run.trials)
    assert ("failed", "RuntimeError: loss is nan", 2, "16, 33") in rows


def test_a_class_is_shown_with_what_it_is_most_often_taken_for(make_run: Callable[..., Path]) -> None:
    from reports.runs import open_run

    run = open_run(make_run())
    record = dataclasses.replace(
        run.record,
        dataset=dataclasses.replace(run.record.dataset, classes=("a", "b", "c")),
        confusion=((5, 1, 4), (0, 10, 0), (3, 0, 7)),
        per_class={"a": 0.5, "b": 1.0, "c": 0.7},
    )
    rows = tables.per_class(record).rows
    without_b = dataclasses.replace(record, per_class={"a": 0.5, "c": 0.7})  # no image of class b was seen
    assert tables.per_class(without_b).rows == (rows[0], rows[2])
    assert rows == (("a", 0.5, 10, "c (4)"), ("b", 1.0, 10, None), ("c", 0.7, 10, "a (3)"))


def test_finalists_of_several_seeds_show_mean_spread_and_n(make_search: Callable[..., Path]) -> None:
    record = open_search(make_search(trials=6)).record
    first, second, *_ = record.finalists
    runs = dataclasses.replace(first, score=0.82, scores=(0.80, 0.82, 0.84))
    table = tables.finalists(dataclasses.replace(record, finalists=(runs, second)))
    assert "runs of different seeds" in table.caption
    shown = {row[0]: row[1:6] for row in table.shown()}
    assert shown[str(first.number)] == ["82.00 %", "3", "2.00 points", "80.00 %", "84.00 %"]
    assert shown[str(second.number)][1:] == ["1", "-", "-", "-"]


def test_finalists_of_one_run_each_say_so(make_search: Callable[..., Path]) -> None:
    table = tables.finalists(open_search(make_search(trials=6)).record)
    assert "one run each" in table.caption
    assert "standard deviation" not in [column.title for column in table.columns]


def test_presets_stand_beside_the_finalists_on_screen_and_page(
    make_search: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    presets = (
        PresetRun("tiny", 0.5, 97_942, 8_000_000, 69, 12, 30.0),
        PresetRun("residual", 0.6, 95_094, 12_500_000, 93, 12, 40.0, (0.59, 0.61)),
    )
    folder = make_search(trials=6, presets=presets)
    record = open_search(folder).record
    shown = tables.presets(record).shown()
    assert [row[:4] for row in shown] == [
        ["residual", "60.00 %", "2", "95,094"],
        ["tiny", "50.00 %", "1", "97,942"],
    ]
    words = outcome(record)
    assert words is not None
    assert html.escape(words) in write_search_report(folder).read_text()
    show(open_search(folder), Console(width=300))
    assert words in capsys.readouterr().out


def test_learning_curves_have_a_column_an_epoch(make_trial: Callable[..., TrialRecord]) -> None:
    chosen = [trial for trial in map(make_trial, range(12)) if trial.epochs]
    table = tables.curves(chosen, 6)
    assert len(table.columns) == 8
    for trial, row in zip(chosen, table.rows, strict=True):
        reached = [epoch.val_accuracy for epoch in trial.epochs]
        assert list(row[2:]) == reached + [None] * (6 - len(reached))


def test_the_screening_is_told_where_there_was_one(make_search: Callable[..., Path]) -> None:
    record = open_search(make_search(trials=3)).record
    assert tables.screening(record) is None
    found = ScreeningRecord(2000, 500, 480, {"max_params": 900, "min_dilated": 600}, (1, 2, 3))
    table = tables.screening(dataclasses.replace(record, screening=found))
    assert table is not None
    assert "2,000 drawn, 480 different ones fit" in table.caption
    assert [row[1] for row in table.rows] == [500, 900, 600]
    assert [row[2] for row in table.rows] == [0.25, 0.45, 0.3]
