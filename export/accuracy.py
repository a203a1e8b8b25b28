"""How often a network is right, with an interval and class by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from training.transfer.calibration import wilson


@dataclass(frozen=True)
class Accuracy:
    """Right answers of N images."""

    share: float
    """0-1"""
    interval: tuple[float, float]
    """95 %, Wilson."""
    images: int
    per_class: dict[str, float]
    """Share of each class that has images."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "accuracy": self.share,
            "interval95": list(self.interval),
            "images": self.images,
            "per_class": self.per_class,
        }


def accuracy_of(
    answers: npt.NDArray[np.integer[Any]], labels: npt.NDArray[np.int64], classes: tuple[str, ...]
) -> Accuracy:
    """Compare answers with labels.

    Args:
        answers: (N,) positions in `classes`.
        labels: (N,) positions in `classes`.
        classes: Names.
    """
    right = np.asarray(answers) == labels
    per_class = {
        name: float(right[labels == number].mean())
        for number, name in enumerate(classes)
        if (labels == number).any()
    }
    return Accuracy(float(right.mean()), wilson(int(right.sum()), len(right)), len(right), per_class)
