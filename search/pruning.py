"""When a trial is hopeless."""

import math

import optuna

HALF = 0.5
"""Share of a run before which nothing is judged. While the learning rate climbs the order of networks is
upside down: of eight networks, 8 epochs of 45,000 images each, tau with the final loss was -0.29 after the
first epoch, 0.57 after the second, 0.93 after the fourth."""
STARTUP_TRIALS = 8
"""Trials that run to the end before any is held against their median."""

PRUNERS = {
    "halving": "successive halving: of the trials that reached half of their epochs the best half goes on",
    "median": "what is worse than the median of the others at the same epoch ends",
    "none": "every trial runs to its end",
}
"""What `--pruner` takes."""


def half_of(epochs: int) -> int:
    """Return the epoch after which a run of so many is judged for the first time."""
    return max(1, math.ceil(HALF * epochs))


def pruner(kind: str, epochs: int) -> optuna.pruners.BasePruner:
    """Return the pruner for trials of so many epochs; it judges nothing before half of them."""
    if kind == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=half_of(epochs))
    if kind == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=half_of(epochs), reduction_factor=2)
    return optuna.pruners.NopPruner()


def reason(kind: str, epoch: int) -> str:
    """Return the reason in the record of a trial that was pruned after `epoch`."""
    if kind == "halving":
        return f"not among the best half of the trials that reached epoch {epoch}"
    return f"worse than the median of the other trials after epoch {epoch}"
