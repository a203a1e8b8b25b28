"""What the stages of a search find."""

from dataclasses import dataclass, field

from records.search import Finalist, FrontPoint, LimitRecord, PresetRun, Step


@dataclass(frozen=True)
class Findings:
    """What the stages have found so far; the fields are those of SearchRecord."""

    importances: dict[str, float] = field(default_factory=dict)
    front: tuple[FrontPoint, ...] = ()
    exhausted: bool = False
    """Whether every network of the space was trained or breaks the budget."""
    reason: str | None = None
    """Why there are fewer trials than were asked for."""
    finalists: tuple[Finalist, ...] = ()
    presets: tuple[PresetRun, ...] = ()
    winner: int | None = None
    best_known: str | None = None
    winner_epochs: int | None = None
    taus: dict[str, float] = field(default_factory=dict)
    lineage: tuple[Step, ...] = ()
    verdict: tuple[LimitRecord, ...] = ()
