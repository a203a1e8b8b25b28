"""The policies as batched torch operations: on the device that trains, or wherever albumentations is missing.

It follows the same draws as `training.batches.follow_albumentations` for the same key, so the two make the
same pictures, up to the rounding of the interpolation; a test holds them against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from training.batches.policies import (
    Floats,
    Integers,
    Policy,
    draw_chosen,
    draw_holes,
    draw_matrices,
    generator,
    policy_named,
)


@dataclass(frozen=True, eq=False)
class Draws:
    """What is done to each of N images."""

    flipped: npt.NDArray[np.bool_]
    """(N,)"""
    matrices: Floats
    """(N, 2, 3) that take input (x, y) to output (x, y); the identity where an image is not moved."""
    holes: Integers
    """(N, 4): top, left, bottom, right; all 0 where there is none."""
    grey: npt.NDArray[np.bool_]
    """(N,)"""


def draw(policy: Policy, image_size: tuple[int, int], count: int, key: Sequence[int]) -> Draws:
    """Draw for `count` images, in the order in which `training.batches.follow_albumentations` does."""
    random = generator(list(key))
    flipped, grey = np.zeros((2, count), dtype=np.bool_)
    matrices = np.tile(np.eye(2, 3), (count, 1, 1))
    holes = np.zeros((count, 4), dtype=np.int64)
    flipped[draw_chosen(policy.flip, count, random)] = True
    moved = draw_chosen(policy.moved, count, random)
    (across, down), (tall, broad) = policy.shift, policy.hole
    matrices[moved] = draw_matrices(
        {"x": (-across, across), "y": (-down, down)},
        (1 - policy.scale, 1 + policy.scale),
        (-policy.rotate, policy.rotate),
        image_size,
        len(moved),
        random,
    )
    holed = draw_chosen(policy.holed, count, random)
    holes[holed] = draw_holes((tall, tall), (broad, broad), image_size, len(holed), random)
    grey[draw_chosen(policy.grey, count, random)] = True
    return Draws(flipped, matrices, holes, grey)


class BatchedAugmentation:
    """A policy that augments chunks of images on any device.

    Args:
        policy: By name.
        image_size: (height, width).
        mean: Per channel, 0-255: the fill of holes.
        device: Where the images are.

    Raises:
        TrainingError: There is no such policy.
    """

    def __init__(
        self, policy: str, image_size: tuple[int, int], mean: Sequence[float], device: torch.device
    ) -> None:
        self._policy, self._image_size, self._device = policy_named(policy, image_size), image_size, device
        fill = [round(value) for value in mean]
        self._fill = torch.tensor(fill, dtype=torch.uint8, device=device).view(1, 3, 1, 1)

    def __call__(self, images: torch.Tensor, key: Sequence[int]) -> torch.Tensor:
        """Return augmented copies of (N, 3, H, W) uint8 images; `key` is what the draws are a function of."""
        if self._policy is None:
            return images
        return self.follow(images, draw(self._policy, self._image_size, len(images), key))

    def follow(self, images: torch.Tensor, draws: Draws) -> torch.Tensor:
        """Do to the images what was drawn: shapes do not depend on it, so a GPU never waits."""
        images = torch.where(self._send(draws.flipped).view(-1, 1, 1, 1), images.flip(3), images)
        images = warp(images, self._send(_to_input(draws.matrices)))
        hole = self._send(draws.holes)
        rows = torch.arange(self._image_size[0], device=self._device)
        columns = torch.arange(self._image_size[1], device=self._device)
        tall = (rows >= hole[:, 0:1]) & (rows < hole[:, 2:3])  # (N, H)
        broad = (columns >= hole[:, 1:2]) & (columns < hole[:, 3:4])  # (N, W)
        images = torch.where((tall[:, :, None] & broad[:, None])[:, None], self._fill, images)
        return torch.where(self._send(draws.grey).view(-1, 1, 1, 1), to_grey(images), images)

    def _send(self, values: npt.NDArray[np.generic]) -> torch.Tensor:
        tensor = torch.from_numpy(values)
        if self._device.type != "cuda":
            return tensor.to(self._device)
        # Not pinned, the copy would wait for the queue to drain.
        return tensor.pin_memory().to(self._device, non_blocking=True)


def _to_input(matrices: Floats) -> npt.NDArray[np.float32]:
    """Invert (N, 2, 3) matrices: they then take output (x, y) to input (x, y)."""
    inverse = np.linalg.inv(matrices[:, :, :2])
    offset = -inverse @ matrices[:, :, 2:]
    return np.concatenate([inverse, offset], axis=2).astype(np.float32)


def warp(images: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Return the images seen through matrices, as cv2.warpAffine with INTER_LINEAR and BORDER_REFLECT_101.

    Args:
        images: (N, 3, H, W) uint8.
        matrices: (N, 2, 3) float32 that take output (x, y) to input (x, y), in pixels.
    """
    height, width = images.shape[2:]
    y = torch.arange(height, dtype=torch.float32, device=images.device).view(1, -1, 1)
    x = torch.arange(width, dtype=torch.float32, device=images.device).view(1, 1, -1)
    places = [
        (row[:, 0] * x + row[:, 1] * y + row[:, 2]) * (2 / max(length - 1, 1)) - 1
        for row, length in zip(matrices[:, :, :, None, None].unbind(1), (width, height), strict=True)
    ]
    seen = F.grid_sample(
        images.float(),
        torch.stack(places, dim=3),  # (N, H, W, 2), x before y, the middles of the corners at -1 and 1
        mode="bilinear",
        padding_mode="reflection",
        align_corners=True,
    )
    return seen.round_().clamp_(0, 255).to(torch.uint8)


def to_grey(images: torch.Tensor) -> torch.Tensor:
    """Return (N, 3, H, W) uint8 images without colour: cv2's RGB2GRAY, in its integers."""
    red, green, blue = images.to(torch.int32).unbind(1)
    grey = (red * 9798 + green * 19235 + blue * 3735 + (1 << 14)) >> 15
    return grey.to(torch.uint8)[:, None].expand_as(images)
