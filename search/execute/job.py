"""What crosses the line between the driver and its workers: specs, recipes and records, nothing else."""

from dataclasses import dataclass, field
from typing import Any

from records.codec import Record
from records.run import EpochRecord


@dataclass(frozen=True)
class DataRequest:
    """Which images a worker trains on; it opens them itself."""

    data: str
    """What `training.data.registry.load` takes."""
    cache: str
    resize: int | None
    images: int | None
    """Size of the stratified subset of the training split; None takes all of it."""
    subset_seed: int
    whole: bool = False
    """Whether to train on the validation split too; then nothing is validated."""


@dataclass(frozen=True)
class Keep:
    """What a training leaves beside its outcome, in a folder that driver and worker share.

    The folder gets checkpoints, from which a training that was cut short goes on, and at the end the weights,
    their predictions for the test images and run.json.
    """

    folder: str
    name: str
    """Of the run, in its record."""
    command: str
    """The command line that asked for it, in its record."""
    notice: str | None = None
    """Of the data set, where the search was given a stand-in for it."""


@dataclass(frozen=True)
class Job(Record):
    """Train one network; score it on the validation split, or keep it and test it.

    (number, attempt) names it: a result that arrives twice is the same result.
    """

    number: int
    attempt: int
    spec: dict[str, Any]
    recipe: dict[str, Any]
    seed: int
    data: DataRequest
    keep: Keep | None = None
    """None: only the outcome counts."""
    checkpoint: str | None = None
    """File from which a training that the driver ended early goes on when the same job is submitted again.
    Where it is missing the training begins anew and comes out the same. None: no checkpoint is kept."""
    threads: int | None = None
    """CPU threads of the training, on which its last digits depend; None: the worker's share."""

    @property
    def key(self) -> tuple[int, int]:
        """What all attempts at this training share: the trial's number and the seed."""
        return self.number, self.seed


@dataclass(frozen=True)
class Outcome(Record):
    """How a job ended."""

    number: int
    attempt: int
    state: str
    """"complete", "pruned" (the driver ended it) or "failed"."""
    seconds: float
    epochs: tuple[EpochRecord, ...] = field(default=())
    reason: str | None = None
    """One line, for a failed job."""
    losses: bytes | None = None
    """float16, (validation images,): the cross-entropy of each after the last epoch."""

    @property
    def score(self) -> float | None:
        """Validation accuracy after the last epoch, 0-1."""
        return self.epochs[-1].val_accuracy if self.epochs else None
