"""Logging for TensorBoard, whose package is optional."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from records.run import EpochRecord
from training.errors import TrainingError

FOLDER = "tensorboard"
"""Inside the folder of a run."""


def require() -> None:
    """Find out before the training that the package is there.

    Raises:
        TrainingError: It is not.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise TrainingError(
            f"--tensorboard needs the package tensorboard ({error}): pip install tensorboard"
        ) from error


class EventLog:
    """Writes each epoch's figures as scalars; curves that belong together share a chart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def epoch(self, record: EpochRecord) -> None:
        """Add an epoch; on disk when this returns."""
        from torch.utils.tensorboard import SummaryWriter

        if self._writer is None:
            # A session that broke off may have logged epochs that are trained again: TensorBoard drops these.
            self._writer = SummaryWriter(str(self._folder), purge_step=record.epoch)
        figures = {
            "loss/train (augmented)": record.train_loss,
            "loss/validation": record.val_loss,
            "accuracy/train (augmented)": record.train_accuracy,
            "accuracy/validation": record.val_accuracy,
            "learning rate": record.learning_rate,
            "seconds an epoch": record.seconds,
        }
        for name, value in figures.items():
            if value is not None:
                self._writer.add_scalar(name, value, record.epoch)
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()
