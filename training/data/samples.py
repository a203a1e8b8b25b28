"""Samples: the images that a run trains or is judged on, in memory or read from the cache when needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError

if TYPE_CHECKING:
    from training.data.registry import Dataset, Split


class Images(Protocol):
    """(N, H, W, 3) uint8 images: an array, or something that reads them when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""

    @property
    def ndim(self) -> int:
        """4."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8."""

    @property
    def nbytes(self) -> int:
        """Of all images."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any:
        """Return the images of a slice or of positions as an array."""


@dataclass(frozen=True, eq=False)
class Mapped:
    """Some images of a memory map; only those that are asked for are ever read."""

    images: npt.NDArray[np.uint8]
    """(M, H, W, 3), mapped from disk."""
    positions: npt.NDArray[np.int64]
    """(N,) which of them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, 3)."""
        return (len(self.positions), *self.images.shape[1:])

    @property
    def ndim(self) -> int:
        """As of the map."""
        return self.images.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of the map."""
        return self.images.dtype

    @property
    def nbytes(self) -> int:
        """Of all images, whether they were read or not."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, key: Any, /) -> npt.NDArray[np.uint8]:
        """Return copies of the images of a slice or of positions."""
        return np.array(self.images[self.positions[key]])


@dataclass(frozen=True, eq=False)
class Samples:
    """Images with their labels, and what is needed to normalise them.

    Raises:
        TrainingError: Shapes or types do not fit together, there is no image, or a label names no class.
    """

    images: Images
    """(N, H, W, 3), RGB."""
    labels: npt.NDArray[np.int64]
    """(N,) positions in `classes`."""
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    """Per channel, 0-255: subtracted on the device."""
    std: tuple[float, float, float]
    """Per channel, 0-255: divided by on the device."""

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[3] != 3 or self.images.dtype != np.uint8:
            raise TrainingError(
                f"images must be uint8 of shape (N, H, W, 3), got {self.images.dtype} of {self.images.shape}"
            )
        if self.labels.shape != self.images.shape[:1]:
            raise TrainingError(
                f"{len(self.images)} images need as many labels, got shape {self.labels.shape}"
            )
        if not len(self.labels):
            raise TrainingError("there are no images to train or to evaluate on")
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.classes):
            raise TrainingError(f"labels run from {low} to {high}, but there are {len(self.classes)} classes")
        if not min(self.std) > 0:
            raise TrainingError(
                f"the images cannot be normalised: a channel never changes, std is {self.std}"
            )

    @classmethod
    def of(cls, split: Split, indices: npt.ArrayLike | None, dataset: Dataset) -> Samples:
        """Take `indices` of `split` (None: all) with the classes and the normalisation of `dataset`."""
        if indices is None:
            images, labels = split.images, split.labels
        else:
            chosen = np.asarray(indices, dtype=np.int64)
            images, labels = split.images[chosen], split.labels[chosen]
        # Copied out of the memory map: every epoch reads every image, in random order.
        return cls(np.array(images), np.array(labels), dataset.classes, dataset.mean, dataset.std)

    @classmethod
    def mapped(cls, split: Split, indices: npt.ArrayLike | None, dataset: Dataset) -> Samples:
        """Do what `of` does without reading an image: 25,000 photographs would take 4 GB of memory."""
        labels = split.labels
        chosen = np.arange(len(labels)) if indices is None else np.asarray(indices, dtype=np.int64)
        return cls(Mapped(split.images, chosen), labels[chosen], dataset.classes, dataset.mean, dataset.std)

    def pieces(self, size: int = 256) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield all images in order, `size` at a time at most."""
        for start in range(0, len(self), size):
            yield np.asarray(self.images[start : start + size])

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of every image."""
        return self.images.shape[1], self.images.shape[2]

    def __len__(self) -> int:
        return len(self.labels)
