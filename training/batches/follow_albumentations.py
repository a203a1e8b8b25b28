"""The draws followed on the processor: albumentations' transforms, applied to whole chunks of images.

`compose` builds a policy as the library's own pipeline: that is the definition. Called image by image, nine
tenths of the library's time at 32x32 goes into drawing parameters, so `Augmentation` takes the parameters of
a whole chunk from `training.batches.draws`, and does to the pixels what the transforms' `apply` does. Tests
hold the two against each other: equal pixels for equal parameters, equal distributions of parameters.

The library's seeding is not used: `Compose(seed=)` gives every transform the same stream (flips and grey then
go together), and forked workers repeat each other. Here a chunk's draws are a function of its key alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from training.batches.draws import Crop, Draw, Flip, Grey, Hole, Jitter, Move, Operation, draw, policy_named

if TYPE_CHECKING:
    import albumentations

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Form:
    """What an operation is in this library."""

    transform: Callable[[Any, Any, tuple[int, ...]], Any]
    """Takes the library, the operation and the fill colour; returns the library's transform."""
    follow: Callable[[Any, Pixels, Draw], None]
    """Takes the transform, images (N, H, W, 3) and the draw; changes the images in place."""


def compose(policy: str, image_size: tuple[int, int], mean: Sequence[float]) -> albumentations.Compose:
    """Build a policy as an albumentations pipeline.

    Args:
        policy: By name; the policies are in `training.batches.draws`.
        image_size: (height, width).
        mean: Per channel, 0-255: the fill of holes.

    Raises:
        TrainingError: There is no such policy.
    """
    operations = policy_named(policy, image_size)
    library = _library()
    return library.Compose([_transform(library, operation, mean) for operation in operations])


class Augmentation:
    """A policy that augments chunks of images; safe to call from several threads."""

    def __init__(self, policy: str, image_size: tuple[int, int], mean: Sequence[float]) -> None:
        self._policy, self._image_size = policy_named(policy, image_size), image_size
        # Without operations the library, whose import takes a second, is not needed.
        library = _library() if self._policy else None
        self._steps = [(_transform(library, each, mean), FORMS[type(each)].follow) for each in self._policy]

    def __call__(self, images: Pixels, key: Sequence[int]) -> Pixels:
        """Return augmented copies.

        Args:
            images: (N, H, W, 3) uint8, left as they are.
            key: Numbers that the draws are a function of, such as (seed, epoch, chunk).
        """
        result = images.copy()
        drawn = draw(self._policy, len(images), self._image_size, key)
        for (transform, follow), each in zip(self._steps, drawn, strict=True):
            follow(transform, result, each)
        return result


def _library() -> Any:
    """Import albumentations: late, as it takes a second, and without its question to the package index."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations
    import cv2

    cv2.setNumThreads(0)  # its threads cost more than they bring at these sizes (57 against 80 us an image)
    return albumentations


def _transform(library: Any, operation: Operation, mean: Sequence[float]) -> Any:
    return FORMS[type(operation)].transform(library, operation, tuple(round(value) for value in mean))


def _flip_of(library: Any, flip: Flip, fill: tuple[int, ...]) -> Any:
    return library.HorizontalFlip(p=flip.p, strict=True)


def _flip(transform: Any, images: Pixels, drawn: Draw) -> None:
    images[drawn.chosen] = images[drawn.chosen, :, ::-1]


def _move_of(library: Any, move: Move, fill: tuple[int, ...]) -> Any:
    import cv2

    across, down = move.shift
    # ShiftScaleRotate of 2.0.8 would stretch height and width apart and cut shifts to whole pixels towards
    # zero (at 32x32 never the full 2); Affine, which it recommends itself, does neither.
    return library.Affine(
        translate_px={"x": (-across, across), "y": (-down, down)},
        scale=(1 - move.scale, 1 + move.scale),
        rotate=(-move.rotate, move.rotate),
        keep_ratio=True,
        border_mode=cv2.BORDER_REFLECT_101,
        p=move.p,
        strict=True,
    )


def _move(transform: Any, images: Pixels, drawn: Draw) -> None:
    import cv2

    height, width = images.shape[1:3]
    for index in np.flatnonzero(drawn.chosen):
        images[index] = cv2.warpAffine(
            images[index],
            drawn.values[index],
            (width, height),
            flags=transform.interpolation,
            borderMode=transform.border_mode,
            borderValue=transform.fill,
        )


def _hole_of(library: Any, hole: Hole, fill: tuple[int, ...]) -> Any:
    tall, broad = hole.size
    return library.CoarseDropout(
        num_holes_range=(1, 1),
        hole_height_range=(tall, tall),
        hole_width_range=(broad, broad),
        fill=fill,
        p=hole.p,
        strict=True,
    )


def _hole(transform: Any, images: Pixels, drawn: Draw) -> None:
    fill = np.array(transform.fill, dtype=np.uint8)
    for index in np.flatnonzero(drawn.chosen):
        top, left, bottom, right = drawn.values[index]
        images[index, top:bottom, left:right] = fill


def _grey_of(library: Any, grey: Grey, fill: tuple[int, ...]) -> Any:
    return library.ToGray(p=grey.p, method="weighted_average", strict=True)


def _grey(transform: Any, images: Pixels, drawn: Draw) -> None:
    import cv2

    count, width = int(drawn.chosen.sum()), images.shape[2]
    if not count:
        return
    # The images one under the other are one tall image: grey is made pixel by pixel.
    grey = cv2.cvtColor(images[drawn.chosen].reshape(-1, width, 3), cv2.COLOR_RGB2GRAY)
    images[drawn.chosen] = np.asarray(grey, dtype=np.uint8).reshape(count, -1, width, 1)


def _crop_of(library: Any, crop: Crop, fill: tuple[int, ...]) -> Any:
    return library.RandomResizedCrop(
        size=crop.size, scale=crop.area, ratio=(1 / crop.ratio, crop.ratio), p=crop.p, strict=True
    )


def _crop(transform: Any, images: Pixels, drawn: Draw) -> None:
    import cv2

    height, width = images.shape[1:3]
    for index in np.flatnonzero(drawn.chosen):
        top, left, bottom, right = drawn.values[index]
        part = images[index, top:bottom, left:right]
        images[index] = cv2.resize(part, (width, height), interpolation=transform.interpolation)


def _jitter_of(library: Any, jitter: Jitter, fill: tuple[int, ...]) -> Any:
    return library.ColorJitter(
        brightness=jitter.brightness,
        contrast=jitter.contrast,
        saturation=jitter.saturation,
        hue=0,
        p=jitter.p,
        strict=True,
    )


def _jitter(transform: Any, images: Pixels, drawn: Draw) -> None:
    for index in np.flatnonzero(drawn.chosen):
        brightness, contrast, saturation, *order = drawn.values[index].tolist()
        images[index] = transform.apply(
            images[index],
            brightness=brightness,
            contrast=contrast,
            saturation=saturation,
            hue=0.0,
            order=[int(each) for each in order],
        )


FORMS: dict[type[Operation], Form] = {
    Flip: Form(_flip_of, _flip),
    Move: Form(_move_of, _move),
    Hole: Form(_hole_of, _hole),
    Grey: Form(_grey_of, _grey),
    Crop: Form(_crop_of, _crop),
    Jitter: Form(_jitter_of, _jitter),
}
