"""How far a run has come, and who decides when it is saved and stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from training.fit.engine import Run


@dataclass(frozen=True)
class Progress:
    """Where a run is, several times a second."""

    epoch: int
    epochs: int
    step: int
    """Steps done in this epoch."""
    steps: int
    """Steps of this epoch."""
    loss: float
    """Mean loss of the epoch so far."""
    accuracy: float
    """On augmented images, of the epoch so far; 0-1."""
    images_per_second: float


class Keeper(Protocol):
    """Decides when a checkpoint is due and when the run ends."""

    def stop_requested(self) -> bool:
        """Return whether the run shall end."""

    def due(self) -> bool:
        """Return whether it is time for a checkpoint."""

    def save(self, run: Run) -> None:
        """Write a checkpoint, where the run keeps any."""
