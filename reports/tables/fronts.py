"""Accuracy against cost: which trials no other beats, and whether their costs differ at all."""

from collections.abc import Callable, Sequence

from records.trial import TrialRecord

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
