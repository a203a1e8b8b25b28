"""Augmentation: albumentations policies by name, applied to whole chunks of images.

`compose` builds a policy as the library's own pipeline: that is the definition. Called image by image, nine
tenths of the library's time at 32x32 goes into drawing parameters, so `Augmentation` draws them for a whole
chunk at once, from the transforms' own ranges, and does to the pixels what the transforms' `apply` does.
Tests hold the two against each other: equal pixels for equal parameters, equal distributions of parameters.

The library's seeding is not used: `Compose(seed=)` gives every transform the same stream (flips and grey then
go together), and forked workers repeat each other. Here a chunk's draws are a function of its key alone.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from training.batches.policies import draw_chosen, draw_holes, draw_matrices, generator, policy_named

if TYPE_CHECKING:
    import albumentations

Pixels = npt.NDArray[np.uint8]


def compose(policy: str, image_size: tuple[int, int], mean: Sequence[float]) -> albumentations.Compose:
    """Build a policy as an albumentations pipeline.

    Args:
        policy: "none"; "mild"; "assignment": flip, shift-scale-rotate, one hole of half the image's height
            and width, grey, each with p = 0.5, in the wording of albumentations 1.x; "strong".
        image_size: (height, width); lengths are shares of it, given below for 32 x 32.
        mean: Per channel, 0-255: the fill of holes.

    Raises:
        TrainingError: There is no such policy.
    """
    found = policy_named(policy, image_size)
    library = _library()
    if found is None:
        return library.Compose([])
    (across, down), (tall, broad) = found.shift, found.hole
    return library.Compose(
        [
            library.HorizontalFlip(p=found.flip, strict=True),
            # ShiftScaleRotate of 2.0.8 would stretch height and width apart and cut shifts to whole pixels
            # towards zero (at 32x32 never the full 2); Affine, which it recommends itself, does neither.
            library.Affine(
                translate_px={"x": (-across, across), "y": (-down, down)},
                scale=(1 - found.scale, 1 + found.scale),
                rotate=(-found.rotate, found.rotate),
                keep_ratio=True,
                border_mode=_reflect_101(),
                p=found.moved,
                strict=True,
            ),
            library.CoarseDropout(
                num_holes_range=(1, 1),
                hole_height_range=(tall, tall),
                hole_width_range=(broad, broad),
                fill=tuple(round(value) for value in mean),
                p=found.holed,
                strict=True,
            ),
            library.ToGray(p=found.grey, strict=True),
        ]
    )


class Augmentation:
    """A policy that augments chunks of images; safe to call from several threads."""

    def __init__(self, policy: str, image_size: tuple[int, int], mean: Sequence[float]) -> None:
        self.policy = policy
        # Without a policy the library, whose import takes a second, is not needed.
        transforms = () if policy == "none" else compose(policy, image_size, mean).transforms
        self._steps = [functools.partial(_batched(transform), transform) for transform in transforms]

    def __call__(self, images: Pixels, key: Sequence[int]) -> Pixels:
        """Return augmented copies.

        Args:
            images: (N, H, W, 3) uint8, left as they are.
            key: What the random draws are a function of, such as (seed, epoch, chunk).
        """
        random = generator(list(key))
        result = images.copy()
        for step in self._steps:
            step(result, random)
        return result


def _library() -> Any:
    """Import albumentations: late, as it takes a second, and without its question to the package index."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations
    import cv2

    cv2.setNumThreads(0)  # its threads cost more than they bring at these sizes (57 against 80 us an image)
    return albumentations


def _reflect_101() -> int:
    import cv2

    return int(cv2.BORDER_REFLECT_101)


def _batched(transform: Any) -> Callable[[Any, Pixels, np.random.Generator], None]:
    """Return the function that does a transform's work on a chunk, in place."""
    name = type(transform).__name__
    known = {"HorizontalFlip": _flip, "Affine": _affine, "CoarseDropout": _dropout, "ToGray": _grey}
    if name not in known:
        raise NotImplementedError(
            f"{name} has no form for chunks; "
            "add one to training/batches/follow_albumentations.py, with its tests"
        )
    return known[name]


def _flip(transform: Any, images: Pixels, random: np.random.Generator) -> None:
    chosen = draw_chosen(transform.p, len(images), random)
    images[chosen] = images[chosen, :, ::-1]


def _affine(transform: Any, images: Pixels, random: np.random.Generator) -> None:
    import cv2

    chosen = draw_chosen(transform.p, len(images), random)
    height, width = images.shape[1:3]
    for index, matrix in zip(
        chosen, affine_matrices(transform, (height, width), len(chosen), random), strict=True
    ):
        images[index] = cv2.warpAffine(
            images[index],
            matrix,
            (width, height),
            flags=transform.interpolation,
            borderMode=transform.border_mode,
            borderValue=transform.fill,
        )


def affine_matrices(
    transform: Any, image_size: tuple[int, int], count: int, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw the parameters of an `albumentations.Affine` for many images.

    Args:
        transform: Uses `translate_px`, `scale` with `keep_ratio`, `rotate` and nothing else.
        image_size: (height, width).
        count: How many to draw.
        random: Where the draws come from.

    Returns:
        (count, 2, 3) matrices that take input (x, y) to output (x, y): the library's
        `create_affine_transformation_matrix`, written out.
    """
    if (
        not transform.keep_ratio
        or transform.fit_output
        or transform.balanced_scale
        or transform.translate_px is None
    ):
        raise NotImplementedError(
            "the chunked Affine needs translate_px and keep_ratio=True, with fixed output size"
        )
    return draw_matrices(
        transform.translate_px, transform.scale["x"], transform.rotate, image_size, count, random
    )


def _dropout(transform: Any, images: Pixels, random: np.random.Generator) -> None:
    chosen = draw_chosen(transform.p, len(images), random)
    if transform.num_holes_range != (1, 1):
        raise NotImplementedError("the chunked CoarseDropout makes exactly one hole")
    height, width = images.shape[1:3]
    holes = draw_holes(
        transform.hole_height_range, transform.hole_width_range, (height, width), len(chosen), random
    )
    fill = np.array(transform.fill, dtype=np.uint8)
    for index, (top, left, bottom, right) in zip(chosen, holes, strict=True):
        images[index, top:bottom, left:right] = fill


def _grey(transform: Any, images: Pixels, random: np.random.Generator) -> None:
    import cv2

    chosen = draw_chosen(transform.p, len(images), random)
    if not len(chosen):
        return
    if transform.method != "weighted_average":
        raise NotImplementedError("the chunked ToGray knows the weighted average alone")
    width = images.shape[2]
    # The images one under the other are one tall image: grey is made pixel by pixel.
    grey = cv2.cvtColor(images[chosen].reshape(-1, width, 3), cv2.COLOR_RGB2GRAY)
    images[chosen] = np.asarray(grey, dtype=np.uint8).reshape(len(chosen), -1, width, 1)
