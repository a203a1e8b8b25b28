"""Whole: a training step as one function of tensors, run as it is or recorded once and replayed.

Everything that changes from step to step (which images, the learning rate, share and patch of mixing, the
weight of the average) is read from tensors by a counter on the device. So the step asks the host for
nothing, and one CUDA graph holds all of it: a network of a hundred small layers keeps the device busy then.
Random numbers of dropout come from torch's own generator, whose seed a graph reads when it is replayed.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

from training.batches.mixing import Mix, mixed_by
from training.batches.pool import Pool
from training.data.samples import Samples
from training.errors import TrainingError
from training.fit.course import Course
from training.fit.device import Normalise, fits, may_return_early, memory_format, resized
from training.fit.distill import Teacher
from training.fit.ema import Ema
from training.fit.evaluate import logits_of
from training.fit.graphs import Capture, Outputs
from training.fit.loss import batch_loss, weights_of
from training.fit.memory import enough_for, made_within, ran_out
from training.fit.optim import Optimizers
from training.fit.precision import autocast
from training.fit.stepping import Batches, Partial

_LOOK_EVERY = 1.0
"""Seconds between looks at the loss: each waits for everything that was launched."""


class Whole:
    """The steps of a network in training, each one function of tensors.

    Args:
        model: On the device; changed in place.
        samples: Source of the classes, mean and deviation.
        course: The recipe without "auto", and the numbers of the steps.
        optimizer: Optimiser of the model's parameters.
        ema: Moving average, updated after each step.
        device: Device of the model.
        teacher: Network whose answers are learned beside the labels.
        capture: Function that records a step; None: every step is launched op by op.
        on_notice: Function that is given the reason where a step cannot be recorded.
    """

    def __init__(
        self,
        model: nn.Module,
        samples: Samples,
        course: Course,
        optimizer: Optimizers,
        ema: Ema | None,
        device: torch.device,
        teacher: Teacher | None = None,
        capture: Capture | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        recipe = course.recipe
        self._model, self._course, self._device = model, course, device
        self._optimizer, self._ema, self._teacher = optimizer, ema, teacher
        self._capture, self._on_notice = capture, on_notice
        self._classes = len(samples.classes)
        self._weights = weights_of(recipe, samples.labels, self._classes, device)
        self._normalise = Normalise(samples.mean, samples.std, device)
        self._format = memory_format(recipe.layout)
        self._launch: Callable[[], object] | None = None
        self._looked = time.perf_counter()
        # Learning rate, weight of the new state in the average, share of the second label, share by which
        # images are blended, and the patch's top, left, bottom and right.
        self._table = torch.zeros((course.steps, 8), device=device)
        self._position = torch.zeros(1, dtype=torch.int64, device=device)
        self._offsets = torch.arange(recipe.batch_size, device=device)
        self._losses = torch.zeros(course.steps, device=device)
        self._right = torch.zeros((), dtype=torch.int64, device=device)
        self._images, self._labels = torch.empty(0), torch.empty(0)
        self._size = course.image_size

    def steps(self, batches: Batches, epoch: int, partial: Partial) -> Iterator[float]:
        """Make the steps that are left, and yield each one's learning rate.

        Raises:
            TrainingError: The memory of the device does not suffice, or the network does not fit the data.
        """
        size = self._course.recipe.batch_size
        feed: Iterator[object]
        if isinstance(batches, Pool):
            with enough_for(self._device, size):
                batches.fill(epoch)
            self._read_from(batches.images, batches.labels)
            feed = itertools.repeat(None, self._course.steps - partial.step)
        else:
            feed = self._fed(batches)
        rates = self._begin(epoch, partial)
        for _ in feed:
            torch.manual_seed(self._course.torch_seed(epoch, partial.step))
            with enough_for(self._device, size, self._fits):
                self.launch()
            if self._ema is not None:
                self._ema.advance()
            partial.step += 1
            yield rates[partial.step - 1]

    def time_to_look(self, step: int) -> bool:
        """Return whether the last look at the loss was long ago."""
        now = time.perf_counter()
        if now - self._looked < _LOOK_EVERY:
            return False
        self._looked = now
        return True

    def launch(self) -> None:
        """Make the next step: one replay, where it was recorded."""
        if self._launch is None:
            self._launch = self._recorded()
        self._launch()

    def compute(self) -> Outputs:
        """Make the step that the counter names, from tensors and into tensors."""
        recipe = self._course.recipe
        rate, weight, share, blend, *patch = self._table.index_select(0, self._position)[0].unbind()
        rows = self._offsets
        if len(self._labels) > recipe.batch_size:
            rows = rows + self._position * recipe.batch_size
        images = self._images.index_select(0, rows).permute(0, 3, 1, 2)
        labels = self._labels.index_select(0, rows)
        images = self._normalise(images, self._format)
        mixes = recipe.mixup > 0 or recipe.cutmix > 0
        if mixes:
            images = mixed_by(images, blend if recipe.mixup else None, patch if recipe.cutmix else None)
        self._optimizer.zero_grad()
        answers = None if self._teacher is None else self._teacher(images)
        images = resized(images, self._size)
        with autocast(self._device, recipe.precision):
            logits = logits_of(self._model, images, self._classes)
        loss = batch_loss(recipe, logits, labels, self._weights, share if mixes else None, answers)
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.clip:
            nn.utils.clip_grad_norm_(self._model.parameters(), recipe.clip)
        self._optimizer.step(rate)
        if self._ema is not None:
            self._ema.blend(weight)
        self._losses.index_copy_(0, self._position, loss.detach().view(1))
        self._right += (logits.argmax(1) == labels).sum()
        # Back to the front after the last one: the runs before a recording may be more than an epoch's steps.
        self._position.add_(1).remainder_(self._course.steps)
        return ()

    def _begin(self, epoch: int, partial: Partial) -> list[float]:
        """Bring the numbers of an epoch to the device, and return its learning rates."""
        course, first = self._course, partial.step
        if course.size(epoch) != self._size:
            # A recording is of one size; the next step makes another.
            self._size, self._launch = course.size(epoch), None
        mixes = course.recipe.mixup > 0 or course.recipe.cutmix > 0
        rows = []
        for step in range(course.steps):
            rate, mix = course.rate(epoch, step), course.mix(epoch, step) if mixes else Mix(0.0)
            weight = 0.0 if self._ema is None or step < first else self._ema.weight(step - first)
            blend = mix.share if mix.patch is None else 0.0
            rows.append((rate, weight, mix.share, blend, *(mix.patch or (0, 0, 0, 0))))
        self._table.copy_(torch.tensor(rows))
        self._position.fill_(first)
        self._losses.copy_(partial.losses)
        self._right.copy_(partial.right)
        partial.losses, partial.right = self._losses, self._right
        return [row[0] for row in rows]

    def _fed(self, batches: Batches) -> Iterator[None]:
        """Bring batch after batch to one place on the device."""
        assert not isinstance(batches, Pool)
        early = may_return_early(self._device)
        for batch in made_within(batches.epoch(), self._device, self._course.recipe.batch_size):
            images = batch.images.permute(0, 2, 3, 1)  # (B, H, W, 3)
            if self._launch is None:
                place = torch.empty(images.shape, dtype=torch.uint8, device=self._device)
                self._read_from(place, torch.empty_like(batch.labels, device=self._device))
            self._images.copy_(images, non_blocking=early)
            self._labels.copy_(batch.labels, non_blocking=early)
            yield None

    def _read_from(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Take (N, H, W, 3) images from there at every step: an epoch, or one batch that is filled anew."""
        assert self._launch is None or images is self._images, "a recorded step reads where it always has"
        self._images, self._labels = images, labels

    def _recorded(self) -> Callable[[], object]:
        """Return what makes a step: a recording of `compute`, or where there cannot be one `compute`."""
        self._optimizer.materialise()
        if self._capture is None:
            return self.compute
        held = [(tensor, tensor.detach().clone()) for tensor in self._changed()]
        launch: Callable[[], object] = self.compute
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            try:
                launch, _ = self._capture(self.compute)
            except Exception as error:  # of torch, CUDA or the network: whatever cannot be recorded
                if ran_out(error) or isinstance(error, TrainingError):
                    raise
                self._optimizer.zero_grad()
                self._say(error)
        with torch.no_grad():
            for tensor, value in held:
                tensor.copy_(value)
        return launch

    def _fits(self, batch: int) -> bool:
        self._optimizer.zero_grad()
        shape = (batch, 3, *self._images.shape[1:3])
        return fits(self._model, shape, self._device, self._course.recipe.precision)

    def _changed(self) -> list[torch.Tensor]:
        """Return every tensor that a step changes."""
        found = [*self._model.parameters(), *self._model.buffers(), *self._optimizer.tensors()]
        if self._ema is not None:
            found += self._ema.tensors()
        return [*found, self._position, self._losses, self._right]

    def _say(self, error: Exception) -> None:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if self._on_notice is not None:
            self._on_notice(
                f"the training step cannot be recorded as a CUDA graph ({first.strip()}); "
                "it is launched op by op, which takes longer"
            )
