"""SearchRecord: what a search leaves behind."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from records.codec import Count, Record, Seconds, Share
from records.outcome import outcome
from records.run import DatasetFacts, Environment


@dataclass(frozen=True)
class LossDifference:
    """A network's mean validation loss minus that of another one, paired by image and by seed."""

    loss: float
    """Below 0: the network is better."""
    error: float
    """Standard error of it."""
    reach: float
    """Half the width of its 95 % interval."""
    points: float
    """The difference of the mean validation accuracies, in percentage points."""
    runs: Count
    """Seeds of each network."""

    @property
    def better(self) -> bool:
        """Whether the network is better by more than chance: the whole interval is below 0."""
        return self.loss + self.reach < 0

    @property
    def worse(self) -> bool:
        """Whether it is worse by more than chance: the whole interval is above 0."""
        return self.loss - self.reach > 0


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
    """Name of the preset or given network that it is; None: a network that the search proposed."""
    losses: tuple[float, ...] = field(default=())
    """Validation loss of each run; empty in searches of earlier versions."""
    gap: LossDifference | None = None
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
    values: dict[str, float] = field(default_factory=dict)
    """What it reached of each objective, by name, flash in bytes; empty in searches of earlier versions."""


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
