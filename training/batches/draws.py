"""Draws: what happens to each image of a chunk, operation by operation; numbers alone, no pixels.

A policy is a tuple of operations. Each draws for all images of a chunk at once, in the order of the policy,
from one stream of random numbers that is a function of the chunk's key. Two modules follow the draws:
`training.batches.follow_albumentations` on the processor and `training.batches.follow_torch` on the device.

A new operation is written in three files: its class here, added to a policy below, and a function of its
pixels in either follower. (Each follower keeps a table by class; tests hold the tables against `OPERATIONS`.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from training.errors import TrainingError
from training.fit.recipe import POLICIES

TRIES = 10
"""Parts that are drawn for a crop before the middle is taken."""
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Draw:
    """What one operation does to each of N images."""

    chosen: npt.NDArray[np.bool_]
    """(N,) which images it happens to."""
    values: Floats | Integers
    """(N, ...) how, and for an image that is not chosen what leaves it as it is; (N, 0): no more to know."""


class Operation(Protocol):
    """One kind of change, with its ranges for images of one size."""

    @property
    def p(self) -> float:
        """Probability that it happens to an image."""

    def draw(self, count: int, image_size: tuple[int, int], random: np.random.Generator) -> Draw:
        """Draw for `count` images of (height, width)."""


@dataclass(frozen=True)
class Flip:
    """The mirror image, left for right."""

    p: float

    def draw(self, count: int, image_size: tuple[int, int], random: np.random.Generator) -> Draw:
        """Draw which images are mirrored; no values."""
        return _without_values(_chosen(self.p, count, random))


@dataclass(frozen=True)
class Move:
    """Shift, change of scale and rotation about the middle, together; the border is a mirror."""

    p: float
    shift: tuple[int, int]
    """Largest shift across and down, in whole pixels, either way."""
    scale: float
    """Largest change of size, as a share."""
    rotate: float
    """Largest angle in degrees, either way."""

    def draw(self, count: int, image_size: tuple[int, int], random: np.random.Generator) -> Draw:
        """Draw (N, 2, 3) matrices that take input (x, y) to output (x, y)."""
        chosen = _chosen(self.p, count, random)
        matrices = np.tile(np.eye(2, 3), (count, 1, 1))
        matrices[chosen] = self.matrices(int(chosen.sum()), image_size, random)
        return Draw(chosen, matrices)

    def matrices(self, count: int, image_size: tuple[int, int], random: np.random.Generator) -> Floats:
        """Draw (count, 2, 3) matrices: those of albumentations' `create_affine_transformation_matrix`.

        With c the middle of the image, s the factor, a the angle and t the shift, a pixel at x goes to

            y = s R (x - c) + c + t,    R = [[cos a, sin a], [-sin a, cos a]]

        so the last column is c + t - s R c. In an image of 32 x 32, whose middle is (15.5, 15.5), a turn by
        90 degrees takes (0, 0) to (0, 31): the upper left corner becomes the lower left one.
        """
        across, down = self.shift
        moves = np.stack([random.integers(-most, most + 1, count) for most in (across, down)], axis=1)
        factor = random.uniform(1 - self.scale, 1 + self.scale, count)
        angle = np.deg2rad(random.uniform(-self.rotate, self.rotate, count))
        cosine, sine = factor * np.cos(angle), factor * np.sin(angle)
        matrices = np.empty((count, 2, 3))
        matrices[:, 0, 0], matrices[:, 0, 1] = cosine, sine
        matrices[:, 1, 0], matrices[:, 1, 1] = -sine, cosine
        centre = np.array([image_size[1] / 2 - 0.5, image_size[0] / 2 - 0.5])
        matrices[:, :, 2] = centre + moves - matrices[:, :, :2] @ centre
        return matrices


@dataclass(frozen=True)
class Hole:
    """A rectangle, wholly inside the image, that is filled with the mean colour."""

    p: float
    size: tuple[int, int]
    """Height and width in pixels; cut to those of the image."""

    def draw(self, count: int, image_size: tuple[int, int], random: np.random.Generator) -> Draw:
        """Draw (N, 4) corners: top, left, bottom, right; all 0 where there is no hole."""
        chosen = _chosen(self.p, count, random)
        corners = np.zeros((count, 4), dtype=np.int64)
        corners[chosen] = self.corners(int(chosen.sum()), image_size, random)
        return Draw(chosen, corners)

    def corners(self, count: int, image_size: tuple[int, int], random: np.random.Generator) -> Integers:
        """Draw (count, 4) corners, every place as likely as another."""
        # The sides are drawn too, from ranges of one number: it keeps the stream, and so the pictures, of the
        # time when policies could hold ranges.
        tall, broad = (
            random.integers(min(side, most), min(side, most), size=count, endpoint=True)
            for side, most in zip(self.size, image_size, strict=True)
        )
        top = random.integers(0, image_size[0] - tall, endpoint=True)
        left = random.integers(0, image_size[1] - broad, endpoint=True)
        return np.stack([top, left, top + tall, left + broad], axis=1)


@dataclass(frozen=True)
class Grey:
    """Colours taken away: each channel becomes the weighted mean of the three."""

    p: float

    def draw(self, count: int, image_size: tuple[int, int], random: np.random.Generator) -> Draw:
        """Draw which images become grey; no values."""
        return _without_values(_chosen(self.p, count, random))


@dataclass(frozen=True)
class Jitter:
    """Brightness, contrast and saturation, each multiplied by a factor, in an order drawn for each image.

    The hue stays: torchvision and albumentations have it as a fourth change, through 8-bit HSV, whose
    rounding no batched form repeats.
    """

    p: float
    brightness: float
    """Largest change of the factor, either way; likewise the other two."""
    contrast: float
    saturation: float

    def draw(self, count: int, image_size: tuple[int, int], random: np.random.Generator) -> Draw:
        """Draw (N, 6): the three factors, and the order in which they are applied, 0 to 2."""
        chosen = _chosen(self.p, count, random)
        values = np.tile(np.array([1.0, 1.0, 1.0, 0.0, 1.0, 2.0]), (count, 1))
        most = np.array([self.brightness, self.contrast, self.saturation])
        among = int(chosen.sum())
        values[chosen, :3] = random.uniform(1 - most, 1 + most, (among, 3))
        values[chosen, 3:] = random.permuted(np.tile(np.arange(3.0), (among, 1)), axis=1)
        return Draw(chosen, values)


@dataclass(frozen=True)
class Crop:
    """A random part of the image, scaled to the whole: the random resized crop of Szegedy et al. (2014).

    C. Szegedy et al., "Going Deeper with Convolutions", section 6, https://arxiv.org/abs/1409.4842.
    """

    p: float
    area: tuple[float, float]
    """Least and largest share of the image's area."""
    ratio: float
    """Largest width to height of the part, and largest height to width."""
    size: tuple[int, int]
    """Height and width that it is scaled to: those of the images."""

    def draw(self, count: int, image_size: tuple[int, int], random: np.random.Generator) -> Draw:
        """Draw (N, 4) corners: top, left, bottom, right; those of the whole image where there is no crop."""
        chosen = _chosen(self.p, count, random)
        corners = np.tile(np.array([0, 0, *image_size], dtype=np.int64), (count, 1))
        corners[chosen] = self.corners(int(chosen.sum()), image_size, random)
        return Draw(chosen, corners)

    def corners(self, count: int, image_size: tuple[int, int], random: np.random.Generator) -> Integers:
        """Draw (count, 4) corners as albumentations' RandomResizedCrop does.

        Area and the logarithm of the ratio are uniform. Of ten parts that are drawn so the first that fits
        into the image is taken; where none fits, the largest part in the middle whose ratio is allowed.
        """
        height, width = image_size
        areas = random.uniform(*self.area, (count, TRIES)) * height * width
        ratios = np.exp(random.uniform(-np.log(self.ratio), np.log(self.ratio), (count, TRIES)))
        broad, tall = np.rint(np.sqrt(areas * ratios)), np.rint(np.sqrt(areas / ratios))
        fits = (broad >= 1) & (broad <= width) & (tall >= 1) & (tall <= height)
        each, first = np.arange(count), fits.argmax(axis=1)
        some = fits[each, first]
        tall_one = np.where(some, tall[each, first], min(height, round(width * self.ratio))).astype(np.int64)
        broad_one = np.where(some, broad[each, first], min(width, round(height * self.ratio))).astype(
            np.int64
        )
        down, across = random.random((2, count))
        top = np.where(some, (height - tall_one + 1) * down, (height - tall_one) // 2).astype(np.int64)
        left = np.where(some, (width - broad_one + 1) * across, (width - broad_one) // 2).astype(np.int64)
        return np.stack([top, left, top + tall_one, left + broad_one], axis=1)


OPERATIONS: tuple[type[Operation], ...] = (Flip, Move, Hole, Grey, Crop, Jitter)
"""Every operation there is: what either follower must know."""

Policy = tuple[Operation, ...]


def _standard(
    flip: float,
    shift: float,
    scale: float,
    rotate: float,
    moved: float,
    hole: float,
    holed: float,
    grey: float,
) -> Callable[[int, int], Policy]:
    """Return a policy of the four operations as a function of the images' height and width.

    Args:
        flip: Probability of the mirror image.
        shift: Largest shift in pixels of an image of 32 x 32; grows with the image, as does `hole`.
        scale: Largest change of size, as a share.
        rotate: Largest angle in degrees.
        moved: Probability of shift, scale and rotation.
        hole: Side of the hole in pixels of an image of 32 x 32.
        holed: Probability of the hole.
        grey: Probability of grey.
    """

    def policy(height: int, width: int) -> Policy:
        across, down = round(shift * width / 32), round(shift * height / 32)
        tall, broad = max(1, round(hole * height / 32)), max(1, round(hole * width / 32))
        return (
            Flip(flip),
            Move(moved, (across, down), scale, rotate),
            Hole(holed, (tall, broad)),
            Grey(grey),
        )

    return policy


def _jittered(height: int, width: int) -> Policy:
    """Return the four transforms of the published network of dilated blocks; the ranges are chosen here."""
    _, move, hole, _ = _standard(0.5, shift=2, scale=0.1, rotate=15, moved=0.5, hole=16, holed=0.5, grey=0.0)(
        height, width
    )
    # Colours first: a warp is the one operation whose rounding differs between the followers, and a factor
    # after it would magnify that.
    return (Jitter(0.5, 0.2, 0.2, 0.2), Flip(0.5), move, hole)


_POLICIES: Mapping[str, Callable[[int, int], Policy]] = {
    "none": lambda height, width: (),
    "light": _standard(0.5, shift=3, scale=0.0, rotate=0, moved=1.0, hole=8, holed=0.3, grey=0.02),
    "cutout": _standard(0.5, shift=4, scale=0.0, rotate=0, moved=1.0, hole=12, holed=0.5, grey=0.02),
    "mild": _standard(0.5, shift=4, scale=0.0, rotate=8, moved=1.0, hole=8, holed=0.3, grey=0.05),
    # Flip, shift-scale-rotate, one hole of half the image's height and width, grey, each with p = 0.5: the
    # assignment's pipeline, in the wording of albumentations 1.x.
    "assignment": _standard(0.5, shift=2, scale=0.1, rotate=45, moved=0.5, hole=16, holed=0.5, grey=0.5),
    "strong": _standard(0.5, shift=4, scale=0.1, rotate=15, moved=1.0, hole=12, holed=0.5, grey=0.1),
    # For photographs and a pretrained backbone that is trained. torchvision's least area of 0.08 is for
    # training from nothing: it often leaves no animal in the picture.
    "crop": lambda height, width: (Flip(0.5), Crop(1.0, (0.35, 1.0), 4 / 3, (height, width))),
    "jitter": _jittered,
}


def policy_named(name: str, image_size: tuple[int, int]) -> Policy:
    """Return a policy for images of (height, width); lengths grow with them. "none" has no operation.

    Raises:
        TrainingError: There is no such policy.
    """
    if name not in _POLICIES:
        raise TrainingError(f"there is no policy {name!r}; choose one of {', '.join(POLICIES)}")
    return _POLICIES[name](*image_size)


def draw(policy: Policy, count: int, image_size: tuple[int, int], key: Sequence[int]) -> tuple[Draw, ...]:
    """Draw for `count` images, one operation after the other.

    Args:
        policy: Its operations.
        count: Images.
        image_size: (height, width).
        key: Numbers that the draws are a function of, such as (seed, epoch, chunk).
    """
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(key))))
    return tuple(operation.draw(count, image_size, random) for operation in policy)


def _chosen(probability: float, count: int, random: np.random.Generator) -> npt.NDArray[np.bool_]:
    return random.random(count) < probability


def _without_values(chosen: npt.NDArray[np.bool_]) -> Draw:
    return Draw(chosen, np.zeros((len(chosen), 0)))
