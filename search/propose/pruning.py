"""When a trial is hopeless."""

import optuna

FIRST_JUDGED_EPOCH = 2
"""The learning rate still climbs in the first one: what a network reaches there ranks it badly."""
STARTUP_TRIALS = 8
"""Trials that run to the end before any is held against their median."""

PRUNERS = {
    "halving": "asynchronous successive halving: at each rung only the best share goes on",
    "median": "what is below the median of the others at the same epoch ends",
    "none": "every trial runs to its end",
}
"""What `--pruner` takes."""


def pruner(kind: str, epochs: int) -> optuna.pruners.BasePruner:
    """Return the pruner for trials of so many epochs.

    Halving keeps the best half at epochs 2 and 4 of a short trial, the best third at 2, 6 and 18 of one that
    has at least six.
    """
    if kind == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=FIRST_JUDGED_EPOCH)
    if kind == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=FIRST_JUDGED_EPOCH, reduction_factor=2 if epochs < 6 else 3
        )
    return optuna.pruners.NopPruner()


def reason(kind: str, epoch: int) -> str:
    """Return the reason in the record of a trial that was pruned after `epoch`."""
    if kind == "halving":
        return f"not among the best share of the trials that reached epoch {epoch}"
    return f"below the median of the other trials after epoch {epoch}"
