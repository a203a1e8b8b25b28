"""Chunks: which images are loaded together, in which order, with which random draws.

All of it is a function of (seed, epoch, chunk): whoever augments, wherever, and wherever a run is resumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.data.balance import balanced_order
from training.errors import TrainingError

CHUNK_IMAGES = 1024
"""About as many images make a chunk: large enough to draw parameters together, small enough for the cache."""

_SHUFFLE, _AUGMENT = 0, 1
"""First element of the keys of random streams: shuffling must not repeat what augmentation draws."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """A few whole batches of one epoch."""

    chosen: npt.NDArray[np.int64]
    """Indices of the images, in order."""
    key: tuple[int, ...]
    """Key of the random draws of their augmentation."""
    skip: int
    """Number of images at the front that were trained on before the run broke off."""


def steps_of(count: int, batch_size: int) -> int:
    """Return the batches an epoch; what is left over is left out, as the next shuffle brings it in.

    Raises:
        TrainingError: There are fewer images than make a batch.
    """
    if count < batch_size:
        raise TrainingError(
            f"{count} training images are fewer than one batch of {batch_size}; "
            "take more images or a smaller batch_size"
        )
    return count // batch_size


def order_of(
    count: int, seed: int, epoch: int, balanced: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.int64]:
    """Return the order of the images in an epoch; `balanced` as `plan` has it."""
    random = np.random.Generator(np.random.PCG64([_SHUFFLE, seed, epoch]))
    return random.permutation(count) if balanced is None else balanced_order(balanced, random)


def plan(
    count: int,
    batch_size: int,
    *,
    balanced: npt.NDArray[np.int64] | None = None,
    seed: int,
    first_epoch: int,
    first_step: int,
    last_epoch: int,
) -> Iterator[Chunk]:
    """Yield the chunks of the epochs, one after the other.

    Args:
        count: Number of images.
        batch_size: Images in a batch.
        balanced: (count,) classes of the images, which are then drawn equally often; None: each image once.
        seed: Seed of shuffling and augmentation.
        first_epoch: Counted from 1.
        first_step: Batches of the first epoch to leave out: they were trained on already.
        last_epoch: Number of the last epoch, included.
    """
    used = steps_of(count, batch_size) * batch_size
    size = max(1, round(CHUNK_IMAGES / batch_size)) * batch_size
    for epoch in range(first_epoch, last_epoch + 1):
        order = order_of(count, seed, epoch, balanced)
        done = first_step * batch_size if epoch == first_epoch else 0
        # Chunks begin at multiples of `size` wherever a run is resumed: their draws belong to their start.
        for start in range(done // size * size, used, size):
            stop = min(start + size, used)
            yield Chunk(order[start:stop], (_AUGMENT, seed, epoch, start), max(0, done - start))
