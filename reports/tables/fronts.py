"""Accuracy against cost: which trials no other beats, and whether their costs differ at all."""

from collections.abc import Callable, Sequence
from functools import partial

from records.search import SearchRecord
from records.story import objective
from records.trial import TrialRecord
from reports.tables.table import Column, Table, counts, millions, percents

COSTS: dict[str, Callable[[TrialRecord], int]] = {
    "params": lambda trial: trial.params,
    "macs": lambda trial: trial.macs,
}
"""The costs that accuracy is drawn against, by name."""
LEVEL = 0.05
"""Costs that differ by a smaller share are the same: a search that fills its networks up to a limit leaves
that much, because widths come in steps."""


def level(trials: Sequence[TrialRecord], cost: Callable[[TrialRecord], int]) -> bool:
    """Return whether the complete trials cost the same, so that accuracy against cost shows nothing."""
    costs = [cost(trial) for trial in trials if trial.state == "complete"]
    return len(costs) > 1 and min(costs) >= (1 - LEVEL) * max(costs)


def pareto(scored: Sequence[TrialRecord], cost: Callable[[TrialRecord], int]) -> list[TrialRecord]:
    """The complete trials that no other one beats: none is as accurate at a lower cost. Cheapest first.

    Pruned ones are left out: the accuracy of a run that was cut short compares with no other.
    """
    front: list[TrialRecord] = []
    best = -1.0
    whole = [trial for trial in scored if trial.state == "complete"]
    for trial in sorted(whole, key=lambda trial: (cost(trial), -(trial.score or 0.0), trial.number)):
        if trial.score is not None and trial.score > best:
            front.append(trial)
            best = trial.score
    return front


def of_objectives(record: SearchRecord) -> Table | None:
    """Return the trials that no other beats in every objective, with what was optimised of each.

    None: there was one objective, or the search is of an earlier version, which did not record the values.
    """
    names = list(record.front[0].values) if record.front else []
    if not names:
        return None
    columns = [Column("trial", number=True)]
    columns += [Column(_TITLES.get(name, name), partial(objective, name), number=True) for name in names]
    beside = [
        (column, [getattr(point, name) for point in record.front])
        for name, column in _BESIDE.items()
        if _OBJECTIVE.get(name, name) not in names
    ]
    rows = tuple(
        (point.number, *(point.values.get(name) for name in names), *(values[at] for _, values in beside))
        for at, point in enumerate(record.front)
    )
    title = f"Pareto front of the search's objectives ({', '.join(names)})"
    return Table(title, (*columns, *(column for column, _ in beside)), rows)


_TITLES = {"loss": "validation loss", "accuracy": "validation accuracy", "macs": "MACs"}
_OBJECTIVE = {"score": "accuracy"}
_BESIDE = {
    "score": percents("validation accuracy"),
    "params": counts("params"),
    "macs": Column("MACs", millions, number=True),
}
"""Facts of a trial on the front that are shown where they are no objective."""
