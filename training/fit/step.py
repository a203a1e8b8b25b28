"""Step: what one batch does to a network, op by op; `training.fit.whole` has the form that is recorded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from training.batches.loader import Batch
from training.batches.mixing import Mix, mixed
from training.data.samples import Samples
from training.errors import TrainingError
from training.fit.device import Normalise, may_return_early, memory_format, resized
from training.fit.distill import Teacher
from training.fit.ema import Ema
from training.fit.evaluate import logits_of
from training.fit.loss import batch_loss, weights_of
from training.fit.memory import ran_out
from training.fit.optim import Optimizers
from training.fit.precision import autocast
from training.fit.recipe import Recipe


class Step:
    """A network's training step, made ready for one recipe on one device.

    Args:
        model: On the device; changed in place.
        samples: Source of the classes, mean and deviation.
        recipe: Recipe without "auto".
        optimizer: Optimiser of the model's parameters.
        ema: Moving average, updated after each step.
        device: Device of the model.
        teacher: Network whose answers are learned beside the labels.
    """

    def __init__(
        self,
        model: nn.Module,
        samples: Samples,
        recipe: Recipe,
        optimizer: Optimizers,
        ema: Ema | None,
        device: torch.device,
        teacher: Teacher | None = None,
    ) -> None:
        self._model, self._recipe, self._device = model, recipe, device
        self._optimizer, self._ema, self._teacher = optimizer, ema, teacher
        self._classes = len(samples.classes)
        self._weights = weights_of(recipe, samples.labels, self._classes, device)
        self._normalise = Normalise(samples.mean, samples.std, device)
        self._format = memory_format(recipe.layout)
        self._forward: Callable[[torch.Tensor], torch.Tensor] = model
        if recipe.compile == "on":
            self._forward = torch.compile(model, dynamic=False)

    def __call__(
        self, batch: Batch, rate: float, mix: Mix, size: tuple[int, int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Train on one batch; return the loss and how many answers were right, both left on the device.

        Args:
            batch: Images as they are stored, and their labels.
            rate: Learning rate.
            mix: How the images are mixed.
            size: Height and width in pixels that the network reads; None: as they come.

        Raises:
            TrainingError: The network cannot be compiled.
        """
        images = mixed(self._normalise(batch.images, self._format), mix)  # (B, 3, H, W)
        labels = batch.labels.to(self._device, non_blocking=may_return_early(self._device))  # (B,)
        answers = None if self._teacher is None else self._teacher(images)
        if size is not None:
            images = resized(images, size)
        loss, right = self._computed(images, labels, mix.share or None, answers)
        if self._recipe.clip:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._recipe.clip)
        self._optimizer.step(rate)
        if self._ema is not None:
            self._ema.update()
        return loss, right

    def _computed(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        share: float | None,
        answers: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what `_graded` does; where the network runs and torch.compile alone fails, name the way out.

        The compiler's own classes of errors are not public: whether it is to blame is found by running the
        network without it.
        """
        try:
            return self._graded(images, labels, share, answers)
        except Exception as error:
            if self._recipe.compile != "on" or isinstance(error, TrainingError) or ran_out(error):
                raise
            self._forward = self._model
            self._graded(images, labels, share, answers)  # raises what is wrong with the network itself
            first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise TrainingError(f"torch.compile failed ({first.strip()}); use compile=off") from error

    def _graded(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        share: float | None,
        answers: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Leave one batch's gradients in the network; return the loss and how many answers were right."""
        recipe = self._recipe
        self._optimizer.zero_grad()
        with autocast(self._device, recipe.precision):
            logits = logits_of(self._forward, images, self._classes)
        loss = batch_loss(recipe, logits, labels, self._weights, share, answers)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), (logits.argmax(1) == labels).sum()
