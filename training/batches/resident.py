"""Resident: batches from a data set that lives on the device, augmented there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from training.batches.chunks import plan, steps_of
from training.batches.follow_torch import BatchedAugmentation
from training.batches.loader import Batch
from training.data.samples import Samples
from training.fit.memory import memory_error_as


def on_device(samples: Samples, device: torch.device) -> torch.Tensor:
    """Return (N, H, W, 3) uint8 images on a device, never all of them in the processor's memory as well."""
    images = torch.empty(samples.images.shape, dtype=torch.uint8, device=device)
    start = 0
    for piece in samples.pieces():
        images[start : start + len(piece)] = torch.from_numpy(np.array(piece))
        start += len(piece)
    return images


class Resident:
    """The batches of `training.batches.loader.Loader`, made on the device: same images, same order.

    Args:
        samples: Images to draw from; copied to the device as uint8.
        policy: Augmentation by name.
        batch_size: Images a batch; what is left at an epoch's end is left out.
        balanced: Draw the images of each class equally often.
        seed: Seed of shuffling and augmentation.
        device: Device that keeps and augments the images.
        first_epoch: Number of the first epoch, counted from 1.
        first_step: Batches of that epoch that are left out.
        last_epoch: There is nothing beyond it.

    Raises:
        TrainingError: There are fewer images than make a batch, there is no such policy, or the images do not
            fit.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        policy: str,
        batch_size: int,
        balanced: bool = False,
        seed: int,
        device: torch.device,
        first_epoch: int = 1,
        first_step: int = 0,
        last_epoch: int,
    ) -> None:
        self.steps = steps_of(len(samples), batch_size)
        self._batch_size, self._done, self._device = batch_size, first_step, device
        self._augment = BatchedAugmentation(policy, samples.image_size, samples.mean, device)
        self._plan = plan(
            len(samples),
            batch_size,
            balanced=samples.labels if balanced else None,
            seed=seed,
            first_epoch=first_epoch,
            first_step=first_step,
            last_epoch=last_epoch,
        )
        size = f"{samples.images.nbytes / 1e9:.1f} GB of images"
        with memory_error_as(f"{size} do not fit on {device}; use augment=cpu"):
            self._images = on_device(samples, device)
            self._labels = torch.from_numpy(np.array(samples.labels)).to(device)

    def epoch(self) -> Iterator[Batch]:
        """Yield the next epoch's batches, on the device."""
        done, self._done = self._done, 0
        while done < self.steps:
            chunk = next(self._plan)
            chosen = torch.from_numpy(chunk.chosen).to(self._device)
            images = self._augment(self._images[chosen].permute(0, 3, 1, 2), chunk.key)
            labels = self._labels[chosen]
            for start in range(chunk.skip, len(labels), self._batch_size):
                stop = start + self._batch_size
                yield Batch(images[start:stop], labels[start:stop])
                done += 1
