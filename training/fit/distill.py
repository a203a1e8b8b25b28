"""Knowledge distillation: a network learns from a teacher's answers, beside the labels."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from training.errors import TrainingError
from training.fit.evaluate import logits_of
from training.fit.precision import autocast
from training.fit.recipe import Recipe


class Teacher:
    """A trained network that answers for the very images that the student sees, augmented and mixed.

    Args:
        network: Network of (B, 3, H, W) images as the student's normalisation makes them; it is moved to
            `device` and put in eval mode.
        classes: Number of classes.
        device: Device on which the student trains.
        precision: Precision of its forward pass: the student's.
    """

    def __init__(self, network: nn.Module, classes: int, device: torch.device, precision: str) -> None:
        self._network = network.to(device).eval()
        self._classes, self._device, self._precision = classes, device, precision

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return (B, classes) float32 logits.

        Raises:
            TrainingError: The teacher knows another number of classes.
        """
        with autocast(self._device, self._precision):
            return logits_of(self._network, images, self._classes, who="the teacher")


def distillation(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return how far the student's softened answers are from the teacher's, as a mean over the batch.

    T^2 * KL(softmax(teacher / T) || softmax(student / T)): G. Hinton, O. Vinyals and J. Dean, "Distilling the
    Knowledge in a Neural Network", 2015, https://arxiv.org/abs/1503.02531, section 2; T^2 keeps the size of
    the gradients beside those of the labels.

    Args:
        student: (B, C) logits.
        teacher: (B, C) logits.
        temperature: T.
    """
    answers, wanted = (F.log_softmax(each / temperature, dim=1) for each in (student, teacher))
    return F.kl_div(answers, wanted, reduction="batchmean", log_target=True) * temperature**2


def check_teacher(recipe: Recipe, teacher: nn.Module | None) -> None:
    """Refuse a teacher that nobody listens to, and a recipe whose teacher is missing.

    Raises:
        TrainingError: One of the two.
    """
    if teacher is None and recipe.distill_weight:
        raise TrainingError(
            f"recipe {recipe.name!r} has distill_weight={recipe.distill_weight:g} but there is no teacher; "
            "name one (train.py --teacher RUN), or set distill_weight to 0"
        )
    if teacher is not None and not recipe.distill_weight:
        raise TrainingError(
            f"there is a teacher, but recipe {recipe.name!r} has distill_weight=0; "
            "set it above 0 (0.5, for example)"
        )
