"""TrialRecord and SearchRecord: what a search leaves behind."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from records.codec import Record
from records.files import write_with
from records.run import DatasetFacts, Environment, EpochRecord

STATES = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class TrialRecord(Record):
    """One attempt at training one candidate; `trials/<number>-<attempt>.json`."""

    number: int
    """Optuna's trial number."""
    attempt: int
    """Counted from 1; the pair (number, attempt) names a result once and for all."""
    state: str
    """"complete", "pruned" or "failed"."""
    spec: dict[str, Any]
    recipe: dict[str, Any]
    seed: int
    values: dict[str, int | float | str]
    """What the sampler proposed."""
    params: int
    macs: int
    receptive_field: int
    """The smaller of height and width, in input pixels."""
    margins: dict[str, float]
    """Signed margin of each limit of the budget, <= 0 holds."""
    score: float | None
    """Validation accuracy after the last epoch that was trained, 0-1; None where none was measured."""
    seconds: float
    epochs: tuple[EpochRecord, ...] = field(default=())
    reason: str | None = None
    """Why it was pruned or failed."""


@dataclass(frozen=True)
class Finalist:
    """A trial that was trained again, longer."""

    number: int
    """The trial it came from."""
    score: float
    """Validation accuracy of the longer run, 0-1."""
    trial_score: float
    params: int
    macs: int
    receptive_field: int
    epochs: int
    seconds: float
    scores: tuple[float, ...] = field(default=())
    """Of each run, where there were several seeds; `score` is their mean."""


@dataclass(frozen=True)
class PresetRun:
    """A preset that was trained as the finalists were: a measure of the search, not a candidate."""

    name: str
    score: float
    """Validation accuracy, 0-1; the mean where there were several seeds."""
    params: int
    macs: int
    receptive_field: int
    epochs: int
    seconds: float
    scores: tuple[float, ...] = field(default=())
    """Of each run, where there were several seeds."""


@dataclass(frozen=True)
class ScreeningRecord:
    """What random networks of the space came to, by arithmetic alone, before the first trial."""

    drawn: int
    fit: int
    """How many hold every limit that the closed forms know."""
    networks: int
    """How many different ones those are: several proposals may stand for the same network."""
    broken: dict[str, int]
    """How many of the others there are, by the limit that they break first."""
    macs: tuple[int, int, int]
    """Least, median and most of those that fit."""


@dataclass(frozen=True)
class FrontPoint:
    """A trial that no other beats in every objective."""

    number: int
    score: float
    params: int
    macs: int


@dataclass(frozen=True)
class LimitRecord:
    """One limit of the budget and how the winner stands to it."""

    name: str
    limit: str
    value: str
    margin: float
    """Signed, <= 0 holds."""
    holds: bool | None
    """None: not judged."""


@dataclass(frozen=True)
class SearchRecord(Record):
    """A whole search; `search.json`."""

    name: str
    state: str
    """"running", "finished", "exhausted" (no new candidate was left) or "stopped"."""
    stage: str
    """Where it is or where it stopped: "trials", "finalists", "winner", "done"."""
    started: str
    """ISO 8601, UTC."""
    seconds: float
    """Wall time over all sessions of this search."""
    command: str
    seed: int
    sampler: str
    base: str
    """Name of the spec whose widths are searched."""
    wanted: int
    """Trials asked for."""
    settings: dict[str, Any]
    """What `--resume` continues with: epochs, subsets, data, everything that defines the search."""
    budget: dict[str, Any]
    dataset: DatasetFacts
    environment: Environment
    trials: dict[str, int]
    """Counts of "complete", "pruned", "failed" and "rejected"."""
    rejections: dict[str, int]
    """Proposals that broke the budget before any training, by the limit they broke first, and "duplicate"."""
    importances: dict[str, float] = field(default_factory=dict)
    finalists: tuple[Finalist, ...] = field(default=())
    presets: tuple[PresetRun, ...] = field(default=())
    """Trained as the finalists were, the best first."""
    winner: int | None = None
    """Number of the trial that won on validation."""
    verdict: tuple[LimitRecord, ...] = field(default=())
    reason: str | None = None
    """Why it stopped early, if it did."""
    screening: ScreeningRecord | None = None
    front: tuple[FrontPoint, ...] = field(default=())
    """The Pareto front of the trials, the most accurate first, where there were several objectives."""


def against_presets(record: SearchRecord) -> str | None:
    """Return in one sentence how the winner stands to the best preset; None: there is no such pair.

    Both were trained with the finalists' recipe on the same images and judged on validation. The winner is
    the best of several there, which flatters it a little.
    """
    winner = next((each for each in record.finalists if each.number == record.winner), None)
    if winner is None or not record.presets:
        return None
    best = max(record.presets, key=lambda preset: preset.score)
    ours, theirs = (round(100 * each.score, 1) for each in (winner, best))
    points = round(ours - theirs, 1)  # what a reader gets who subtracts the two
    if points > 0:
        stands = f"beats the best preset, {best.name}, by {points} points"
    elif points < 0:
        stands = f"does not beat the best preset, {best.name}: it is {-points} points behind"
    else:
        stands = f"is level with the best preset, {best.name}"
    runs = max(1, len(best.scores))
    error = 100 * (2 * best.score * (1 - best.score) / (record.dataset.validation_images * runs)) ** 0.5
    return (
        f"At equal training the winner {stands} ({ours:.1f} against {theirs:.1f} % "
        f"of validation; {best.epochs} epochs, {runs} run{'s' if runs > 1 else ''} each; standard error of a "
        f"difference {error:.1f})."
    )


def write_trials_csv(path: Path, trials: Iterable[TrialRecord]) -> None:
    """Write one row a trial, the newest attempt of each, in the order of their numbers; whole."""
    import pandas  # half a second: only where a table is written

    newest: dict[int, TrialRecord] = {}
    for trial in trials:
        if trial.number not in newest or trial.attempt > newest[trial.number].attempt:
            newest[trial.number] = trial
    rows = [
        {
            "number": trial.number,
            "state": trial.state,
            "score": trial.score,
            "params": trial.params,
            "macs": trial.macs,
            "receptive_field": trial.receptive_field,
            **trial.values,
            "epochs": len(trial.epochs),
            "seconds": round(trial.seconds, 2),
            "attempt": trial.attempt,
            "seed": trial.seed,
            "reason": trial.reason,
        }
        for trial in sorted(newest.values(), key=lambda trial: trial.number)
    ]
    columns = ["number", "state", "score", "params", "macs", "receptive_field"]
    table = pandas.DataFrame(rows, columns=None if rows else columns)
    write_with(path, lambda temporary: table.to_csv(temporary, index=False))
