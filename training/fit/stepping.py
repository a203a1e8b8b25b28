"""Stepping: the steps of an epoch, launched op by op or as a recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from training.batches.loader import Loader
from training.batches.pool import Pool
from training.batches.resident import Resident
from training.fit.course import Course
from training.fit.memory import enough_for, made_within
from training.fit.step import Step

Batches = Loader | Resident | Pool
"""What brings the images."""

_LOOK_EVERY_ON_CPU, _LOOK_EVERY = 8, 32
"""Steps between looks at the loss, which are cheap on a CPU; elsewhere each one waits for the device."""


@dataclass
class Partial:
    """An epoch under way."""

    step: int
    """Steps done."""
    losses: torch.Tensor
    """(steps,) loss of each step, on the device; 0 for the steps to come."""
    right: torch.Tensor
    """() int64, on the device: right answers so far."""
    seconds: float
    """Seconds spent on it before this process."""

    def to_json(self, seconds: float) -> dict[str, Any]:
        """Return plain values and tensors for a checkpoint."""
        return {"step": self.step, "losses": self.losses.cpu(), "right": int(self.right), "seconds": seconds}


class Stepping(Protocol):
    """One way to make the steps of an epoch."""

    def steps(self, batches: Batches, epoch: int, partial: Partial) -> Iterator[float]:
        """Make the steps that are left, count them in `partial`, and yield each one's learning rate."""

    def time_to_look(self, step: int) -> bool:
        """Return whether the loss may be read after this many steps, which waits for the device."""


class Stepwise:
    """Launches every op of every step.

    Args:
        step: One step.
        course: The numbers of the steps.
        device: Device of the network.
    """

    def __init__(self, step: Step, course: Course, device: torch.device) -> None:
        self._step, self._course, self._device = step, course, device
        self._every = _LOOK_EVERY_ON_CPU if device.type == "cpu" else _LOOK_EVERY

    def steps(self, batches: Batches, epoch: int, partial: Partial) -> Iterator[float]:
        """Make the steps that are left, and yield each one's learning rate."""
        assert not isinstance(batches, Pool)
        course = self._course
        for batch in made_within(batches.epoch(), self._device, course.recipe.batch_size):
            rate = course.rate(epoch, partial.step)
            # For dropout: the step's own stream, so that a resumed run draws what the unbroken one did.
            torch.manual_seed(course.torch_seed(epoch, partial.step))
            mix = course.mix(epoch, partial.step)
            with enough_for(self._device, len(batch.labels)):
                partial.losses[partial.step], hits = self._step(batch, rate, mix, course.size(epoch))
            partial.right += hits
            partial.step += 1
            yield rate

    def time_to_look(self, step: int) -> bool:
        """Return whether so many steps are done that a look costs little."""
        return step % self._every == 0
