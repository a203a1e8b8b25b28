"""TrialRecord: one attempt at training one candidate, and the table of all of them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from records.codec import Count, Record, Seconds, Share
from records.files import write_with
from records.run import EpochRecord

STATES = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class TrialRecord(Record):
    """One attempt at training one candidate; `trials/<number>-<attempt>.json`."""

    number: Count
    """Optuna's trial number."""
    attempt: Count
    """Counted from 1; the pair (number, attempt) names a result once and for all."""
    state: str
    """"complete", "pruned" or "failed"."""
    spec: dict[str, Any]
    recipe: dict[str, Any]
    seed: int
    values: dict[str, int | float | str]
    """What the sampler proposed."""
    params: Count
    macs: Count
    receptive_field: Count
    """The smaller of height and width, in input pixels."""
    margins: dict[str, float]
    """Signed margin of each limit of the budget, <= 0 holds."""
    score: Share | None
    """Validation accuracy after the last epoch that was trained, 0-1; None where none was measured."""
    seconds: Seconds
    epochs: tuple[EpochRecord, ...] = field(default=())
    reason: str | None = None
    """Why it was pruned or failed."""
    preset: str | None = None
    """Name of the preset that it is; None: a network that the search proposed."""
    parent: Count | None = None
    """Trial that it is a few moves away from."""
    moves: tuple[str, ...] = field(default=())
    """What was changed of the parent, in this order."""
    generation: Count | None = None
    """0 for the presets."""
    growth: tuple[tuple[str, Count], ...] = field(default=())
    """(layer, the largest receptive field up to it), in input pixels, the smaller of height and width. Empty
    in searches of earlier versions."""
    arm: str | None = None
    """How it was picked among its generation's children: "preset", "chosen" by prediction, or "random"."""

    @property
    def loss(self) -> float | None:
        """Validation loss after the last epoch that was trained; None where none was measured."""
        return self.epochs[-1].val_loss if self.epochs else None

    @property
    def title(self) -> str:
        """What it is called on screen and page."""
        return self.preset or f"trial {self.number}"


def by_loss(trial: TrialRecord) -> tuple[float, float, int]:
    """Return the key that puts the better of two trials first: by loss, then accuracy, then number."""
    loss = math.inf if trial.loss is None else trial.loss
    return loss, -(trial.score or 0.0), trial.number


def ranked(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the complete trials, the best first."""
    ended = [trial for trial in trials if trial.state == "complete" and trial.score is not None]
    return sorted(ended, key=by_loss)


def write_trials_csv(path: Path, trials: Iterable[TrialRecord]) -> None:
    """Write one row a trial, the newest attempt of each, in the order of their numbers; whole."""
    import pandas  # half a second: only where a table is written

    newest: dict[int, TrialRecord] = {}
    for trial in trials:
        if trial.number not in newest or trial.attempt > newest[trial.number].attempt:
            newest[trial.number] = trial
    descended = any(trial.generation is not None for trial in newest.values())
    rows = [
        {
            "number": trial.number,
            "state": trial.state,
            "score": trial.score,
            "loss": trial.loss,
            "params": trial.params,
            "macs": trial.macs,
            "receptive_field": trial.receptive_field,
            **trial.values,
            "epochs": len(trial.epochs),
            "seconds": round(trial.seconds, 2),
            "attempt": trial.attempt,
            "seed": trial.seed,
            "reason": trial.reason,
            **(_descent(trial) if descended else {}),
        }
        for trial in sorted(newest.values(), key=lambda trial: trial.number)
    ]
    columns = ["number", "state", "score", "loss", "params", "macs", "receptive_field"]
    table = pandas.DataFrame(rows, columns=None if rows else columns)
    write_with(path, lambda temporary: table.to_csv(temporary, index=False))


def _descent(trial: TrialRecord) -> dict[str, Any]:
    """Return the columns of a search by moves."""
    return {
        "generation": trial.generation,
        "arm": trial.arm,
        "preset": trial.preset,
        "parent": trial.parent,
        "moves": "; ".join(trial.moves),
    }
