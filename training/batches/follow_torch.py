"""The draws followed in torch, in batches: on the device that trains, or where albumentations is missing.

`training.batches.follow_albumentations` follows the same draws, so the two make the same pictures for the
same key, up to the rounding of the interpolation; a test holds them against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from training.batches.draws import (
    Crop,
    Draw,
    Flip,
    Floats,
    Grey,
    Hole,
    Jitter,
    Move,
    Operation,
    draw,
    policy_named,
)
from training.batches.draws_torch import Drawn
from training.batches.draws_torch import draw as draw_epoch

_PIECE = 128
"""Images that are cropped at a time."""


class BatchedAugmentation:
    """A policy that augments chunks of images on any device.

    Args:
        policy: By name.
        image_size: (height, width).
        mean: Per channel, 0-255: the fill of holes.
        device: Device of the images.

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
        return self.follow(images, draw(self._policy, len(images), self._image_size, key))

    def epoch(self, images: torch.Tensor, index: torch.Tensor, seed: int, epoch: int) -> torch.Tensor:
        """Return augmented copies of (N, 3, H, W) uint8 images, drawn for on the device.

        Args:
            images: On the device.
            index: (N,) int64, on the device: their numbers in the data set.
            seed: What the draws are a function of, beside the epoch and the image's number.
            epoch: Counted from 1.
        """
        return self.follow(images, draw_epoch(self._policy, index, self._image_size, seed, epoch))

    def follow(self, images: torch.Tensor, drawn: Sequence[Draw | Drawn]) -> torch.Tensor:
        """Return (N, 3, H, W) images changed as was drawn, one draw for each operation of the policy."""
        for operation, each in zip(self._policy, drawn, strict=True):
            images = FORMS[type(operation)](images, each, self._fill)
        return images


# Every operation is computed for every image, and the result kept where the image was chosen: shapes do not
# depend on the draws then, so a GPU never waits for the processor to count.


def _flip(images: torch.Tensor, drawn: Draw | Drawn, fill: torch.Tensor) -> torch.Tensor:
    return torch.where(_each(drawn.chosen, images.device), images.flip(3), images)


def _move(images: torch.Tensor, drawn: Draw | Drawn, fill: torch.Tensor) -> torch.Tensor:
    if isinstance(drawn, Drawn):
        return warp(images, drawn.values)
    return warp(images, _send(_to_input(np.asarray(drawn.values, dtype=np.float64)), images.device))


def _hole(images: torch.Tensor, drawn: Draw | Drawn, fill: torch.Tensor) -> torch.Tensor:
    corners = _send(drawn.values, images.device)  # (N, 4)
    rows = torch.arange(images.shape[2], device=images.device)
    columns = torch.arange(images.shape[3], device=images.device)
    tall = (rows >= corners[:, 0:1]) & (rows < corners[:, 2:3])  # (N, H)
    broad = (columns >= corners[:, 1:2]) & (columns < corners[:, 3:4])  # (N, W)
    return torch.where((tall[:, :, None] & broad[:, None])[:, None], fill, images)


def _grey(images: torch.Tensor, drawn: Draw | Drawn, fill: torch.Tensor) -> torch.Tensor:
    return torch.where(_each(drawn.chosen, images.device), to_grey(images), images)


def _jitter(images: torch.Tensor, drawn: Draw | Drawn, fill: torch.Tensor) -> torch.Tensor:
    return jittered(images, _send(drawn.values, images.device).to(torch.float32))


def _crop(images: torch.Tensor, drawn: Draw | Drawn, fill: torch.Tensor) -> torch.Tensor:
    corners = _send(drawn.values, images.device)  # (N, 4)
    # In pieces: the sums of a whole chunk of photographs would need gigabytes.
    pieces = [slice(start, start + _PIECE) for start in range(0, len(images), _PIECE)]
    return torch.cat([resized(images[piece], corners[piece]) for piece in pieces])


FORMS: dict[type[Operation], Callable[[torch.Tensor, Any, torch.Tensor], torch.Tensor]] = {
    Flip: _flip,
    Move: _move,
    Hole: _hole,
    Grey: _grey,
    Crop: _crop,
    Jitter: _jitter,
}
"""Each takes images (N, 3, H, W), the draw and the fill colour (1, 3, 1, 1), and returns images."""


def _each(chosen: npt.NDArray[np.bool_] | torch.Tensor, device: torch.device) -> torch.Tensor:
    return _send(chosen, device).view(-1, 1, 1, 1)


def _send(values: npt.NDArray[np.generic] | torch.Tensor, device: torch.device) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    # Not pinned, the copy would wait for the queue to drain.
    return tensor.pin_memory().to(device, non_blocking=True)


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


def resized(images: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
    """Return parts of the images scaled to the whole, as cv2.resize with INTER_LINEAR, to the last bit.

    OpenCV computes with weights of 11 bits, first across, then down, and drops bits in between (`resize.cpp`,
    `HResizeLinear` and `VResizeLinear` for uint8); so does this. Rounded from exact sums, every eighth value
    would be another.

    Args:
        images: (N, 3, H, W) uint8.
        corners: (N, 4) top, left, bottom, right of each part.
    """
    count, channels, height, width = images.shape
    top, left, bottom, right = corners.unbind(1)
    across = torch.zeros((), dtype=torch.int32, device=images.device)
    # At the first and the last column there is nothing to mix with: OpenCV sets the weights so, of rows not.
    for column, share in _neighbours(width, left, right, ends=True):  # (N, W)
        index = column[:, None, None, :].expand(count, channels, height, width)
        across = across + images.gather(3, index).to(torch.int32) * share[:, None, None, :]
    across, down = across >> 4, torch.zeros_like(across)
    for row, share in _neighbours(height, top, bottom, ends=False):  # (N, H)
        index = row[:, None, :, None].expand(count, channels, height, width)
        down += (across.gather(2, index) * share[:, None, :, None]) >> 16
    return ((down + 2) >> 2).clamp_(0, 255).to(torch.uint8)


def _neighbours(
    length: int, first: torch.Tensor, end: torch.Tensor, *, ends: bool
) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Return the two pixels that each of `length` outputs lies between, and their shares of 2,048.

    Args:
        length: Outputs along this axis.
        first: (N,) the part's first pixel.
        end: (N,) the pixel after its last.
        ends: Whether an output beyond the middle of the part's first or last pixel is that pixel alone.

    Returns:
        Twice (N, length) positions and int32 shares.
    """
    # In float64, as OpenCV does; Apple's devices have none: there a share may be one of 2,048 apart.
    exact = torch.float32 if first.device.type == "mps" else torch.float64
    last = (end - first - 1)[:, None]
    middle = torch.arange(length, dtype=exact, device=first.device) + 0.5
    places = (middle * ((last + 1).to(exact) / length) - 0.5).to(torch.float32)
    before = places.floor()
    way = places - before
    if ends:
        way = way * ((before >= 0) & (before < last))
    position = before.to(torch.int64)
    low, high = ((position + step).clamp_min(0).minimum(last) + first[:, None] for step in (0, 1))
    return (
        (low, ((1 - way) * 2048).round().to(torch.int32)),
        (high, (way * 2048).round().to(torch.int32)),
    )


def to_grey(images: torch.Tensor) -> torch.Tensor:
    """Return (N, 3, H, W) uint8 images without colour: cv2's RGB2GRAY, in its integers."""
    red, green, blue = images.to(torch.int32).unbind(1)
    grey = (red * 9798 + green * 19235 + blue * 3735 + (1 << 14)) >> 15
    return grey.to(torch.uint8)[:, None].expand_as(images)


def jittered(images: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return images of other brightness, contrast and saturation, as albumentations' ColorJitter of hue 0.

    Args:
        images: (N, 3, H, W) uint8.
        values: (N, 6) float32: the factors of the three, and the order in which they are applied.
    """
    brightness, contrast, saturation = values[:, :3, None, None, None].unbind(1)
    for kinds in values[:, 3:, None, None, None].unbind(1):
        grey = to_grey(images)[:, :1]
        mean = grey.float().mean((1, 2, 3), keepdim=True)
        pixels = images.float()
        # The library cuts the first two towards zero, by a table, and rounds the third, as OpenCV does.
        changed = torch.where(
            kinds == 0,
            pixels * brightness,
            torch.where(
                kinds == 1,
                pixels * contrast + mean * (1 - contrast),
                (pixels * saturation + grey * (1 - saturation)).round(),
            ),
        )
        images = changed.clamp(0, 255).to(torch.uint8)
    return images
