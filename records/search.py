"""TrialRecord and SearchRecord: what a search leaves behind."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from records.codec import Count, Record, Seconds, Share
from records.files import write_with
from records.run import DatasetFacts, Environment, EpochRecord
from records.text import plural

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


@dataclass(frozen=True)
class Finalist:
    """A trial that was trained again, longer."""

    number: Count
    """The trial it came from."""
    score: Share
    """Validation accuracy of the longer run, 0-1."""
    trial_score: Share
    params: Count
    macs: Count
    receptive_field: Count
    epochs: Count
    seconds: Seconds
    scores: tuple[Share, ...] = field(default=())
    """Of each run, where there were several seeds; `score` is their mean."""


@dataclass(frozen=True)
class PresetRun:
    """A preset that was trained as the finalists were: a measure of the search, not a candidate."""

    name: str
    score: Share
    """Validation accuracy, 0-1; the mean where there were several seeds."""
    params: Count
    macs: Count
    receptive_field: Count
    epochs: Count
    seconds: Seconds
    scores: tuple[Share, ...] = field(default=())
    """Of each run, where there were several seeds."""


@dataclass(frozen=True)
class ScreeningRecord:
    """Figures of random networks of the space, by arithmetic alone, before the first trial."""

    drawn: Count
    fit: Count
    """How many hold every limit that the closed forms know."""
    networks: Count
    """How many different ones those are: several proposals may describe the same network."""
    broken: dict[str, Count]
    """How many of the others there are, by the limit that they break first."""
    macs: tuple[Count, Count, Count]
    """Least, median and most of those that fit."""


@dataclass(frozen=True)
class FrontPoint:
    """A trial that no other beats in every objective."""

    number: Count
    score: Share
    params: Count
    macs: Count


@dataclass(frozen=True)
class LimitRecord:
    """One limit of the budget and what the winner has, in numbers; pages make the sentence."""

    name: str
    limit: int | bool | None
    """The number that must be reached or not be passed, True or False for a yes-or-no limit; None only where
    an old record has words."""
    value: int | bool | None
    """What the winner has; None: not judged."""
    margin: float
    """Signed, <= 0 holds."""
    holds: bool | None
    """None: not judged."""


@dataclass(frozen=True)
class StageRecord:
    """A stage that a search has been in: one of its list of stages."""

    name: str
    """"trials", "finalists", "presets", "winner"."""
    epochs: int
    """Of each training, planned."""
    images: int
    """Learnt from in an epoch of each training."""
    seconds: float
    """Wall time over all sessions."""


@dataclass(frozen=True)
class SearchRecord(Record):
    """A whole search; `search.json`."""

    SCHEMA: ClassVar[int] = 2
    OLDER: ClassVar[tuple[int, ...]] = (1,)

    name: str
    state: str
    """"running", "finished", "exhausted" (no new candidate was left) or "stopped"."""
    stage: str
    """Where it is or where it stopped: "trials", "finalists", "presets", "winner", "done"."""
    started: str
    """ISO 8601, UTC."""
    seconds: Seconds
    """Wall time over all sessions of this search."""
    command: str
    seed: int
    sampler: str
    base: str
    """Name of the spec whose widths are searched."""
    wanted: Count
    """Trials asked for."""
    settings: dict[str, Any]
    """What `--resume` continues with: epochs, subsets, data, everything that defines the search."""
    budget: dict[str, Any]
    dataset: DatasetFacts
    environment: Environment
    trials: dict[str, Count]
    """Counts of "complete", "pruned", "failed" and "rejected"."""
    rejections: dict[str, Count]
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
    stages: tuple[StageRecord, ...] = field(default=())
    """Those that it has been in, in their order; a search of an earlier version has none."""

    @classmethod
    def upgraded(cls, schema: int, value: dict[str, Any]) -> dict[str, Any]:
        """Read the numbers out of the words that schema 1 has in its verdict."""
        verdict = value.get("verdict")
        if not isinstance(verdict, list | tuple):
            return value
        return {**value, "verdict": [_in_numbers(limit) for limit in verdict]}


def _in_numbers(limit: Any) -> Any:
    """Return a limit of schema 1 with numbers: "99,999" is 99999, "yes" is True, other words are None."""
    if not isinstance(limit, dict):
        return limit
    texts = {key: limit[key] for key in ("limit", "value") if isinstance(limit.get(key), str)}
    return limit | {key: _number(text) for key, text in texts.items()}


def _number(text: str) -> int | bool | None:
    if text in ("yes", "no"):
        return text == "yes"
    digits = text.removeprefix(">= ").removeprefix("<= ").replace(",", "")
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else None


def against_presets(record: SearchRecord) -> str | None:
    """Return one sentence that compares the winner with the best preset; None where there is no such pair.

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
        outcome = f"beats the best preset, {best.name}, by {points} points"
    elif points < 0:
        outcome = f"does not beat the best preset, {best.name}: it is {-points} points behind"
    else:
        outcome = f"is level with the best preset, {best.name}"
    runs = max(1, len(best.scores))
    error = 100 * (2 * best.score * (1 - best.score) / (record.dataset.validation_images * runs)) ** 0.5
    return (
        f"At equal training the winner {outcome} ({ours:.1f} against {theirs:.1f} % "
        f"of validation; {plural(best.epochs, 'epoch')}, {plural(runs, 'run')} each; standard error of a "
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
