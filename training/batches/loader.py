"""Loader: batches of augmented uint8 images, prepared in chunks by threads while the network trains.

A chunk is a few whole batches. Which images are in it and how they are augmented is a function of (seed,
epoch, chunk) alone, so any number of workers gives the same batches. Threads serve here where others need
processes: drawing parameters per chunk leaves the pixels as nearly all of the work, and OpenCV does that
without the interpreter's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import torch

from training.batches.chunks import Chunk, plan, steps_of
from training.batches.follow_albumentations import Augmentation
from training.data.samples import Samples
from training.errors import TrainingError


@dataclass(frozen=True)
class Batch:
    """Images as they are sent to the device."""

    images: torch.Tensor
    """(B, 3, H, W) uint8, channels-last in memory."""
    labels: torch.Tensor
    """(B,) int64."""


class Loader:
    """An endless supply of epochs; a context manager that ends its threads.

    Args:
        samples: Images to draw from.
        policy: Augmentation by name.
        batch_size: Images a batch; what is left at an epoch's end is left out.
        balanced: Draw the images of each class equally often.
        seed: Seed of shuffling and augmentation.
        workers: Threads that prepare chunks ahead of time; 0: prepared when asked for.
        first_epoch: Number of the first epoch, counted from 1.
        first_step: Batches of that epoch that are left out: they were trained on before a run broke off.
        last_epoch: Nothing is prepared beyond it.

    Raises:
        TrainingError: There are fewer images than make a batch, or no such policy.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        policy: str,
        batch_size: int,
        balanced: bool = False,
        seed: int,
        workers: int,
        first_epoch: int = 1,
        first_step: int = 0,
        last_epoch: int,
    ) -> None:
        self.steps = steps_of(len(samples), batch_size)
        """Batches an epoch."""
        if workers < 0:
            raise TrainingError(f"`workers >= 0` must hold, but got workers={workers}")
        self._samples = samples
        self._augment = Augmentation(policy, samples.image_size, samples.mean)
        self._batch_size, self._done = batch_size, first_step
        self._plan = plan(
            len(samples),
            batch_size,
            balanced=samples.labels if balanced else None,
            seed=seed,
            first_epoch=first_epoch,
            first_step=first_step,
            last_epoch=last_epoch,
        )
        self._pending: deque[Future[Batch]] = deque()
        self._pool = ThreadPoolExecutor(workers, "augment") if workers else None
        # One chunk in hand for each worker and one ready: more would only hold memory.
        self._ahead = workers + 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def epoch(self) -> Iterator[Batch]:
        """Yield the next epoch's batches; the following epoch's first chunks are then under way already."""
        done, self._done = self._done, 0
        while done < self.steps:
            chunk = self._next_chunk()
            for start in range(0, len(chunk.labels), self._batch_size):
                stop = start + self._batch_size
                yield Batch(chunk.images[start:stop], chunk.labels[start:stop])
                done += 1

    def _next_chunk(self) -> Batch:
        if self._pool is None:
            return self._prepare(next(self._plan))
        while len(self._pending) < self._ahead and (chunk := next(self._plan, None)) is not None:
            self._pending.append(self._pool.submit(self._prepare, chunk))
        return self._pending.popleft().result()

    def _prepare(self, chunk: Chunk) -> Batch:
        images = self._augment(self._samples.images[chunk.chosen], chunk.key)
        labels = self._samples.labels[chunk.chosen]
        # NHWC in memory is what torch calls channels_last: no copy.
        return Batch(
            torch.from_numpy(images)[chunk.skip :].permute(0, 3, 1, 2), torch.from_numpy(labels)[chunk.skip :]
        )
