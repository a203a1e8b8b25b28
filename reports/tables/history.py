"""How a search went: the best network so far, and the way from a preset to the winner."""

from collections.abc import Iterator, Sequence
from itertools import count

from records.outcome import kind_of
from records.search import SearchRecord
from records.trial import TrialRecord
from reports.runs import SearchRun
from reports.tables.table import Cell, Column, Table, percents


def by_loss(run: SearchRun) -> bool:
    """Return whether the search went by validation loss, and every trial that was completed has one."""
    objectives = run.record.settings.get("objectives") or ("accuracy",)
    complete = [trial for trial in run.scored if trial.state == "complete"]
    return objectives[0] == "loss" and bool(complete) and all(trial.loss is not None for trial in complete)


def improvements(run: SearchRun) -> Table:
    """Return one row each time that a completed trial was better than all before it, by number."""
    loss = by_loss(run)
    columns = (
        Column("trial", number=True),
        Column("what it is"),
        *((_loss("validation loss"),) if loss else ()),
        percents("validation accuracy"),
        *((_loss("better by"),) if loss else (Column("better by", _points, number=True),)),
    )
    rows = []
    for trial, gain in _better(run.trials, loss):
        values = (trial.loss, trial.score) if loss else (trial.score,)
        rows.append((trial.number, origin(trial, run.record), *values, gain))
    return Table("Each best trial so far", columns, tuple(rows))


def _better(trials: Sequence[TrialRecord], loss: bool) -> Iterator[tuple[TrialRecord, float | None]]:
    best: float | None = None
    for trial in trials:
        value = trial.loss if loss else None if trial.score is None else -trial.score
        if trial.state != "complete" or value is None or (best is not None and value >= best):
            continue
        yield trial, None if best is None else best - value
        best = value


def origin(trial: TrialRecord, record: SearchRecord) -> str:
    """Return where a trial comes from: a preset, a given network, or what was changed of which trial."""
    if trial.preset is not None:
        return f"{kind_of(trial.preset, record)} {trial.preset}"
    if trial.parent is None or not trial.moves:
        return "proposed"
    return f"trial {trial.parent} with {'; '.join(trial.moves)}"


def way(record: SearchRecord) -> Table | None:
    """Return one row a step from the preset to the winner; None where the winner was not found by moves."""
    if not record.lineage:
        return None
    columns = (
        Column("step", number=True),
        Column("trial", number=True),
        Column("what was changed"),
        Column("change of the loss", lambda value: f"{value:+.4f}", number=True),
        _loss("standard error"),
    )
    rows: list[tuple[Cell, ...]] = [
        (number, step.number, step.title, step.gain, step.error)
        for number, step in zip(count(), record.lineage, strict=False)
    ]
    return Table("From the preset to the winner (validation loss; below 0 is better)", columns, tuple(rows))


def _loss(title: str) -> Column:
    return Column(title, lambda value: f"{value:.4f}", number=True)


def _points(share: float) -> str:
    return f"{100 * share:.2f} points"
