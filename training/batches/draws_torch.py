"""The draws of `training.batches.draws` for a whole epoch, made on the device that trains.

The same distributions from another source of random numbers: what happens to an image is a function of (seed,
epoch, number of the image), whatever the batch, the order, or the step at which a run is resumed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from training.batches.counter import uniforms
from training.batches.draws import TRIES, Crop, Draw, Flip, Grey, Hole, Jitter, Move, Operation, Policy
from training.batches.draws import draw as draw_on_host

_ON_HOST = 4
"""First element of the keys of random streams, beside those of `training.batches.chunks`."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What one operation does to each of N images: a `Draw` whose arrays are tensors on the device."""

    chosen: torch.Tensor
    """(N,) bool."""
    values: torch.Tensor
    """(N, ...)."""


@dataclass(frozen=True)
class Source:
    """How an operation is drawn from even numbers."""

    count: int
    """Numbers in [0, 1) for each image, the first of which decides whether it happens."""
    values: Callable[[Any, torch.Tensor, torch.Tensor, tuple[int, int]], torch.Tensor]
    """Takes the operation, (N,) bool of whom it happens to, (N, count - 1) numbers and (height, width)."""


def draw(
    policy: Policy, index: torch.Tensor, image_size: tuple[int, int], seed: int, epoch: int
) -> tuple[Drawn | Draw, ...]:
    """Draw for the images of an epoch, one operation after the other.

    Args:
        policy: Its operations; one without an entry in `SOURCES` is drawn on the host, for all at once.
        index: (N,) int64: numbers of the images in the data set.
        image_size: (height, width).
        seed: Of the run.
        epoch: Counted from 1.
    """
    result: list[Drawn | Draw] = []
    for place, operation in enumerate(policy):
        source = SOURCES.get(type(operation))
        if source is None:
            key = (_ON_HOST, seed, epoch, place)
            result += draw_on_host((operation,), len(index), image_size, key)
            continue
        numbers = uniforms(index, place, source.count, seed, epoch)
        chosen = numbers[:, 0] < operation.p
        result.append(Drawn(chosen, source.values(operation, chosen, numbers[:, 1:], image_size)))
    return tuple(result)


def _nothing(
    operation: Operation, chosen: torch.Tensor, numbers: torch.Tensor, image_size: tuple[int, int]
) -> torch.Tensor:
    return numbers


def _whole(numbers: torch.Tensor, count: int) -> torch.Tensor:
    """Return whole numbers from 0 to count - 1, each as likely as another but for 2^-24."""
    return (numbers * count).floor()


def _move(
    move: Move, chosen: torch.Tensor, numbers: torch.Tensor, image_size: tuple[int, int]
) -> torch.Tensor:
    """Return (N, 2, 3) matrices from output to input: the inverses of those of `Move.matrices`.

    From y = s R (x - c) + c + t follows x = R^T (y - c - t) / s + c.
    """
    across, down = (_whole(numbers[:, axis], 2 * most + 1) - most for axis, most in enumerate(move.shift))
    factor = 1 + (2 * numbers[:, 2] - 1) * move.scale
    angle = torch.deg2rad((2 * numbers[:, 3] - 1) * move.rotate)
    cosine, sine = angle.cos() / factor, angle.sin() / factor
    x, y = image_size[1] / 2 - 0.5, image_size[0] / 2 - 0.5
    left, above = x + across, y + down
    matrices = torch.stack(
        [
            *(cosine, -sine, x - cosine * left + sine * above),
            *(sine, cosine, y - sine * left - cosine * above),
        ],
        dim=1,
    ).view(-1, 2, 3)
    still = torch.eye(2, 3, device=numbers.device)
    return torch.where(chosen[:, None, None], matrices, still)


def _hole(
    hole: Hole, chosen: torch.Tensor, numbers: torch.Tensor, image_size: tuple[int, int]
) -> torch.Tensor:
    """Return (N, 4) corners: top, left, bottom, right."""
    tall, broad = (min(side, most) for side, most in zip(hole.size, image_size, strict=True))
    top = _whole(numbers[:, 0], image_size[0] - tall + 1)
    left = _whole(numbers[:, 1], image_size[1] - broad + 1)
    corners = torch.stack([top, left, top + tall, left + broad], dim=1).to(torch.int64)
    return corners * chosen[:, None]


def _crop(
    crop: Crop, chosen: torch.Tensor, numbers: torch.Tensor, image_size: tuple[int, int]
) -> torch.Tensor:
    """Return (N, 4) corners as `Crop.corners` draws them, those of the whole image where there is no crop."""
    height, width = image_size
    least, most = crop.area
    areas = (least + (most - least) * numbers[:, :TRIES]) * (height * width)
    ratios = torch.exp((2 * numbers[:, TRIES : 2 * TRIES] - 1) * math.log(crop.ratio))
    broad, tall = (areas * ratios).sqrt().round(), (areas / ratios).sqrt().round()
    fits = (broad >= 1) & (broad <= width) & (tall >= 1) & (tall <= height)
    some, first = fits.any(dim=1), fits.to(torch.uint8).argmax(dim=1, keepdim=True)
    tall = torch.where(some, tall.gather(1, first)[:, 0], float(min(height, round(width * crop.ratio))))
    broad = torch.where(some, broad.gather(1, first)[:, 0], float(min(width, round(height * crop.ratio))))
    down, across = numbers[:, 2 * TRIES], numbers[:, 2 * TRIES + 1]
    top = torch.where(some, ((height - tall + 1) * down).floor(), ((height - tall) / 2).floor())
    left = torch.where(some, ((width - broad + 1) * across).floor(), ((width - broad) / 2).floor())
    corners = torch.stack([top, left, top + tall, left + broad], dim=1)
    whole = torch.tensor([0.0, 0.0, height, width], device=numbers.device)
    return torch.where(chosen[:, None], corners, whole).to(torch.int64)


def _jitter(
    jitter: Jitter, chosen: torch.Tensor, numbers: torch.Tensor, image_size: tuple[int, int]
) -> torch.Tensor:
    """Return (N, 6): the three factors, and the order in which they are applied."""
    most = torch.tensor([jitter.brightness, jitter.contrast, jitter.saturation], device=numbers.device)
    orders = torch.tensor(list(itertools.permutations(range(3))), dtype=torch.float32, device=numbers.device)
    order = orders[_whole(numbers[:, 3], len(orders)).to(torch.int64)]
    values = torch.cat([1 + (2 * numbers[:, :3] - 1) * most, order], dim=1)
    still = torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0, 2.0], device=numbers.device)
    return torch.where(chosen[:, None], values, still)


SOURCES: dict[type[Operation], Source] = {
    Flip: Source(1, _nothing),
    Move: Source(5, _move),
    Hole: Source(3, _hole),
    Grey: Source(1, _nothing),
    Crop: Source(3 + 2 * TRIES, _crop),
    Jitter: Source(5, _jitter),
}
