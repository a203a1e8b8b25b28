"""Pool: an epoch of augmented images on the device, in the order in which they are trained on."""

from __future__ import annotations

import numpy as np
import torch

from training.batches.chunks import order_of, steps_of
from training.batches.follow_torch import BatchedAugmentation
from training.batches.resident import on_device
from training.data.samples import Samples
from training.fit.memory import memory_error_as

_PIXELS_AT_ONCE = 2**25
"""Pixels that are augmented together: their float32 form takes 400 MB on the way."""


class Pool:
    """The images of one epoch at a time, augmented at once; several networks may read them.

    The order is that of `training.batches.loader.Loader`; the draws are of the same distribution but others
    (`training.batches.draws_torch`).

    Args:
        samples: Images to draw from; copied to the device as uint8.
        policy: Augmentation by name.
        batch_size: Images a batch; what is left at an epoch's end is left out.
        balanced: Draw the images of each class equally often.
        seed: Seed of shuffling and augmentation.
        device: Device that keeps and augments the images.

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
    ) -> None:
        self.steps = steps_of(len(samples), batch_size)
        """Batches an epoch."""
        self._count, self._seed, self._device = len(samples), seed, device
        self._augment = BatchedAugmentation(policy, samples.image_size, samples.mean, device)
        self._balanced = samples.labels if balanced else None
        self._epoch = 0
        used = self.steps * batch_size
        height, width = samples.image_size
        self._together = max(1, _PIXELS_AT_ONCE // (height * width))
        size = f"{2 * samples.images.nbytes / 1e9:.1f} GB of images, plain and augmented,"
        with memory_error_as(f"{size} do not fit on {device}; use augment=cpu"):
            self._source = on_device(samples, device)
            self._answers = torch.from_numpy(np.array(samples.labels)).to(device)
            self.images = torch.empty((used, height, width, 3), dtype=torch.uint8, device=device)
            """(N, H, W, 3) uint8 of the present epoch, always in the same memory."""
            self.labels = torch.empty(used, dtype=torch.int64, device=device)
            """(N,) of the present epoch."""

    def fill(self, epoch: int) -> None:
        """Bring in the images of an epoch, counted from 1, unless they are there."""
        if epoch == self._epoch:
            return
        whole = order_of(self._count, self._seed, epoch, self._balanced)
        order = torch.from_numpy(whole[: len(self.labels)]).to(self._device)
        self.labels.copy_(self._answers[order])
        for start in range(0, len(order), self._together):
            index = order[start : start + self._together]
            images = self._source[index].permute(0, 3, 1, 2)
            made = self._augment.epoch(images, index, self._seed, epoch)
            self.images[start : start + len(index)] = made.permute(0, 2, 3, 1)
        self._epoch = epoch
