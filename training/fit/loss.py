"""The loss of a batch as a recipe asks for it: cross-entropy, mixed labels, a teacher's answers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from training.data.balance import class_weights
from training.fit.distill import distillation
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


def batch_loss(
    recipe: Recipe,
    logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor | None,
    share: float | torch.Tensor | None,
    answers: torch.Tensor | None,
) -> torch.Tensor:
    """Return the loss that a training step follows: (1 - share) * own label + share * the partner's.

    The partner of an image is the one at the same place from the batch's end (`training.batches.mixing`).

    Args:
        recipe: Label smoothing, weight and temperature of distillation.
        logits: (B, C).
        labels: (B,).
        weights: (C,), from `weights_of`.
        share: Of the second label, 0-1; a () tensor in a step that is recorded; None: nothing is mixed.
        answers: (B, C) logits of the teacher; None: there is none.
    """
    loss = cross_entropy(logits, labels, recipe.label_smoothing, weights)
    if share is not None:
        loss = loss.lerp(cross_entropy(logits, labels.flip(0), recipe.label_smoothing, weights), share)
    if answers is not None:
        loss = loss.lerp(distillation(logits, answers, recipe.distill_temperature), recipe.distill_weight)
    return loss
