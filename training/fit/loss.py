"""The loss of a batch: cross-entropy as a recipe asks for it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from training.data.balance import class_weights
from training.fit.recipe import Recipe


def weights_of(
    recipe: Recipe, labels: npt.NDArray[np.int64], classes: int, device: torch.device
) -> torch.Tensor | None:
    """Return (classes,) weights of the loss for training images of these labels; None: all alike."""
    if recipe.balance != "loss":
        return None
    return torch.from_numpy(class_weights(labels, classes)).to(device)


def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, smoothing: float, weights: torch.Tensor | None
) -> torch.Tensor:
    """Return the mean loss of a batch.

    Args:
        logits: (B, C).
        labels: (B,).
        smoothing: Label smoothing, 0-1.
        weights: (C,), from `weights_of`.
    """
    if weights is None:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)
    # Divided by the batch, not by its weights as torch does: a batch without an image of the small class
    # would count as much as one with some, and the small class by less than its weight.
    total = F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing, reduction="sum")
    return total / len(labels)
