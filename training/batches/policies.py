"""Policies: what is drawn for each image, by name; numbers alone, whoever moves the pixels.

`training.batches.follow_albumentations` builds a policy of albumentations' transforms and follows them chunk
by chunk on the processor; `training.batches.follow_torch` follows them with batched torch operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError
from training.fit.recipe import POLICIES

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Policy:
    """Ranges and probabilities for images of one size."""

    flip: float
    """Probability of the mirror image."""
    shift: tuple[int, int]
    """Whole pixels across and down, at most, either way."""
    scale: float
    """Largest change of size, as a share."""
    rotate: float
    """Degrees, at most, either way."""
    moved: float
    """Probability of a shift, scale and rotation together."""
    hole: tuple[int, int]
    """Height and width in pixels of the one hole."""
    holed: float
    """Probability of a hole."""
    grey: float
    """Probability that the colours are taken away."""


# flip p; shift in pixels of 32, scale, degrees, p; hole in pixels of 32, p; grey p
_NUMBERS: Mapping[str, tuple[float, float, float, float, float, float, float, float]] = {
    "light": (0.5, 3, 0.0, 0, 1.0, 8, 0.3, 0.02),
    "cutout": (0.5, 4, 0.0, 0, 1.0, 12, 0.5, 0.02),
    "mild": (0.5, 4, 0.0, 8, 1.0, 8, 0.3, 0.05),
    "assignment": (0.5, 2, 0.1, 45, 0.5, 16, 0.5, 0.5),
    "strong": (0.5, 4, 0.1, 15, 1.0, 12, 0.5, 0.1),
}


def policy_named(name: str, image_size: tuple[int, int]) -> Policy | None:
    """Return a policy for images of (height, width); lengths grow with them. "none" is None.

    Raises:
        TrainingError: There is no such policy.
    """
    if name not in POLICIES:
        raise TrainingError(f"there is no policy {name!r}; choose one of {', '.join(POLICIES)}")
    if name == "none":
        return None
    flip, shift, scale, rotate, moved, hole, holed, grey = _NUMBERS[name]
    height, width = image_size
    return Policy(
        flip=flip,
        shift=(round(shift * width / 32), round(shift * height / 32)),
        scale=scale,
        rotate=rotate,
        moved=moved,
        hole=(max(1, round(hole * height / 32)), max(1, round(hole * width / 32))),
        holed=holed,
        grey=grey,
    )


def generator(key: tuple[int, ...] | list[int]) -> np.random.Generator:
    """Return a stream of random numbers that is a function of `key` alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(key))))


def draw_chosen(probability: float, count: int, random: np.random.Generator) -> Integers:
    """Draw which of `count` images something happens to."""
    return np.flatnonzero(random.random(count) < probability)


def draw_matrices(
    shift: Mapping[str, tuple[int, int]],
    scale: tuple[float, float],
    rotate: tuple[float, float],
    image_size: tuple[int, int],
    count: int,
    random: np.random.Generator,
) -> Floats:
    """Draw shift, scale and rotation about the middle for many images.

    Args:
        shift: Least and largest whole pixels under "x" and "y".
        scale: Least and largest factor, the same for height and width.
        rotate: Least and largest angle in degrees.
        image_size: (height, width).
        count: How many to draw.
        random: Where the draws come from.

    Returns:
        (count, 2, 3) matrices that take input (x, y) to output (x, y): those of albumentations'
        `create_affine_transformation_matrix`, written out.
    """
    moves = np.stack(
        [random.integers(low, high + 1, count) for low, high in (shift["x"], shift["y"])], axis=1
    )
    factor = random.uniform(*scale, count)
    angle = np.deg2rad(random.uniform(*rotate, count))
    cosine, sine = factor * np.cos(angle), factor * np.sin(angle)
    matrices = np.empty((count, 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1] = cosine, sine
    matrices[:, 1, 0], matrices[:, 1, 1] = -sine, cosine
    centre = np.array([image_size[1] / 2 - 0.5, image_size[0] / 2 - 0.5])
    matrices[:, :, 2] = centre + moves - matrices[:, :, :2] @ centre
    return matrices


def draw_holes(
    heights: tuple[int, int],
    widths: tuple[int, int],
    image_size: tuple[int, int],
    count: int,
    random: np.random.Generator,
) -> Integers:
    """Draw (count, 4) holes: top, left, bottom, right, wholly inside images of (height, width)."""
    height, width = image_size
    tall = random.integers(heights[0], min(heights[1], height), size=count, endpoint=True)
    broad = random.integers(widths[0], min(widths[1], width), size=count, endpoint=True)
    top = random.integers(0, height - tall, endpoint=True)
    left = random.integers(0, width - broad, endpoint=True)
    return np.stack([top, left, top + tall, left + broad], axis=1)
