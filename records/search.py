"""TrialRecord and SearchRecord: what a search leaves behind."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from records.codec import Count, Record, Seconds, Share
from records.files import write_with
from records.run import DatasetFacts, Environment, EpochRecord
from records.text import percent, plural

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


@dataclass(frozen=True)
class Gap:
    """A network's mean validation loss minus that of the best preset, paired by image and by seed."""

    loss: float
    """Below 0: the network is better."""
    error: float
    """Standard error of it."""
    reach: float
    """Half the width of its 95 % interval."""
    points: float
    """The difference of the accuracies, in percentage points."""
    runs: Count
    """Seeds of each network."""

    @property
    def better(self) -> bool:
        """Whether the network is better than the preset by more than chance: the interval is below 0."""
        return self.loss + self.reach < 0


@dataclass(frozen=True)
class Finalist:
    """A trial, or a preset, that was trained again with seeds that no stage before had used."""

    number: Count
    """The trial it came from."""
    score: Share
    """Validation accuracy of the run, 0-1."""
    trial_score: Share
    params: Count
    macs: Count
    receptive_field: Count
    epochs: Count
    seconds: Seconds
    scores: tuple[Share, ...] = field(default=())
    """Of each run, where there were several seeds; `score` is their mean."""
    preset: str | None = None
    """Name of the preset that it is; None: a network that the search proposed."""
    losses: tuple[float, ...] = field(default=())
    """Validation loss of each run; empty in searches of earlier versions."""
    gap: Gap | None = None
    """Against the best preset; None for that one, and where there is none."""

    @property
    def loss(self) -> float | None:
        """Mean validation loss of the runs."""
        return sum(self.losses) / len(self.losses) if self.losses else None

    @property
    def title(self) -> str:
        """What it is called on screen and page."""
        return self.preset or f"trial {self.number}"


@dataclass(frozen=True)
class PresetRun:
    """A preset as a trial; searches of earlier versions trained it beside the finalists."""

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
class Step:
    """A network on the way from a preset to the winner."""

    number: Count
    """Its trial."""
    title: str
    """The preset's name, or what the moves changed of the network before."""
    gain: float | None = None
    """Its trial's validation loss minus that of the network before; None for the first."""
    error: float | None = None
    """Standard error of it: images and seeds."""


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
    """The best first."""
    winner: int | None = None
    """Number of the trial, or of the preset, that won on validation."""
    best_known: str | None = None
    """The best preset by the finalists' runs; None where none took part."""
    winner_epochs: Count | None = None
    """Epochs of the winner's own training, as they were settled before it began."""
    taus: dict[str, float] = field(default_factory=dict)
    """Kendall's tau of signals that this search went by with what came of them, by name."""
    lineage: tuple[Step, ...] = field(default=())
    """From the preset that the winner descends from to the winner, where it was found by moves."""
    verdict: tuple[LimitRecord, ...] = field(default=())
    reason: str | None = None
    """Why it stopped early, if it did."""
    screening: ScreeningRecord | None = None
    front: tuple[FrontPoint, ...] = field(default=())
    """The Pareto front of the trials, the most accurate first, where there were several objectives."""
    stages: tuple[StageRecord, ...] = field(default=())
    """Those that it has been in, in their order; a search of an earlier version has none."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values; the outcome comes first."""
        found = super().to_json()
        return {"schema": found.pop("schema"), "outcome": outcome(self), **found}

    @classmethod
    def from_json(cls, value: Any, where: str = "record") -> Self:
        """Build the record; the sentence of the outcome is made from the figures again."""
        if isinstance(value, dict):
            value = {key: item for key, item in value.items() if key != "outcome"}
        return super().from_json(value, where)

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


def winner_title(record: SearchRecord) -> str:
    """Return what the winner is called: the name of a preset, or its trial."""
    titles = (each.title for each in record.finalists if each.number == record.winner)
    return next(titles, f"trial {record.winner}")


def outcome(record: SearchRecord) -> str | None:
    """Return one sentence that says what came of the search; None before its finalists were trained.

    A network counts as better than the best preset where the 95 % interval of the difference says so.
    Searches of earlier versions have no paired losses: they are compared by accuracy.
    """
    winner = next((each for each in record.finalists if each.number == record.winner), None)
    if winner is None:
        return None
    if record.best_known is None:
        return _by_accuracy(record)
    preset = next((each for each in record.finalists if each.preset == record.best_known), None)
    if winner.preset is None and winner.gap is not None:
        return (
            f"Better than the best preset, {record.best_known}: {winner.title}, by {_measured(winner.gap)} "
            f"({percent(winner.score)} against {percent(preset.score if preset else None)} of validation)."
        )
    said = f"No better network found; the best known is {record.best_known}."
    rivals = [each for each in record.finalists if each.preset is None and each.gap is not None]
    if not rivals:
        return said
    nearest = min(rivals, key=lambda each: each.gap.loss if each.gap else math.inf)
    assert nearest.gap is not None
    return f"{said} The nearest, {nearest.title}, differs by {_measured(nearest.gap)}."


def _measured(gap: Gap) -> str:
    return (
        f"{gap.loss:+.4f} ± {gap.reach:.4f} in validation loss and {gap.points:+.1f} points, "
        f"{plural(gap.runs, 'fresh seed')} each, 95 % interval"
    )


FLATTERING = "the best of many scores is too good: 1.7 points was measured for the best of 20"
"""Said wherever the best of many trials is shown (5 searches, docs/results/search.md)."""


def _by_accuracy(record: SearchRecord) -> str | None:
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
        words = f"beats the best preset, {best.name}, by {points} points"
    elif points < 0:
        words = f"does not beat the best preset, {best.name}: it is {-points} points behind"
    else:
        words = f"is level with the best preset, {best.name}"
    runs = max(1, len(best.scores))
    error = (
        100 * (2 * best.score * (1 - best.score) / (max(1, record.dataset.validation_images) * runs)) ** 0.5
    )
    return (
        f"At equal training the winner {words} ({ours:.1f} against {theirs:.1f} % "
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
