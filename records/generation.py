"""GenerationRecord: the networks of one generation of a search, written before any of them is trained."""

from dataclasses import dataclass
from typing import Any

from records.codec import Count, Record


@dataclass(frozen=True)
class Member:
    """A network of a generation."""

    number: Count
    """Of its trial."""
    spec: dict[str, Any]
    seed: int
    preset: str | None
    """Name of the preset that it is."""
    parent: Count | None
    """Trial that it is a few moves away from."""
    moves: tuple[str, ...]
    arm: str
    """"preset", "chosen" by prediction, or "random"."""
    predicted: float | None
    """Validation loss that the ranker expected; None where there was no ranker yet."""


@dataclass(frozen=True)
class GenerationRecord(Record):
    """One generation; `generations/<number>.json`. A resumed search trains what is missing of it."""

    number: Count
    """0 for the presets."""
    members: tuple[Member, ...]
    ranked: bool
    """Whether predictions chose; otherwise all children are random."""
