"""Which scale each value of a network is stored with: chosen from its range over the calibration images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from export import floats, graph
from export.c.arithmetic import HIGHEST, LOWEST, WIDEST, Scale
from export.graph import Graph, fuses

_BATCH = 50
_KEPT = 65_536
"""Numbers of a value that are kept of a batch of images; the search for its range needs no more."""
_DEAD = 1e-6
_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
"""Of the observed extremes, tried as the range: a narrower one cuts a few and rounds the others less."""
_FLAT_BELOW = {"hardswish": -3.0, "relu6": 0.0, "relu": 0.0, "silu": -8.0, "gelu": -4.0, "sigmoid": -8.0}
_FLAT_ABOVE = {"relu6": 6.0, "sigmoid": 8.0}
"""Where an activation hardly changes any more, so that its input needs no resolution there."""


class Observed:
    """The range of one value over the calibration images, and a sample of its numbers."""

    def __init__(self) -> None:
        self.low, self.high = 0.0, 0.0  # zero must be exact: paddings are zero
        self.finite = True
        self._samples: list[npt.NDArray[np.float32]] = []

    def add(self, x: Tensor) -> None:
        """Take a batch in."""
        self.finite = self.finite and bool(x.isfinite().all())
        self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
        flat = x.flatten()
        step = max(1, len(flat) // _KEPT) | 1  # odd, so that it does not hit the same columns always
        self._samples.append(flat[::step].numpy().copy())

    def scale(self, lowest: float = -math.inf, highest: float = math.inf) -> Scale:
        """Return the scale of the least mean square error.

        Args:
            lowest: Numbers below it may become it.
            highest: Numbers above it may become it.
        """
        numbers = np.clip(np.concatenate(self._samples).astype(np.float64), lowest, highest)
        low, high = max(self.low, lowest), min(self.high, highest)
        best, least = Scale(1.0, 0), math.inf
        for share in _SHARES:
            candidate = _scale(
                low if low == lowest else low * share, high if high == highest else high * share
            )
            error = float(np.square(_stored(numbers, candidate) - numbers).mean())
            if error < least:
                best, least = candidate, error
        return best


def _scale(low: float, high: float) -> Scale:
    low, high = min(low, 0.0), max(high, 0.0)
    # A value that is always zero (a dead ReLU) may have any scale, but none that makes its factors enormous.
    scale = (high - low if high - low > _DEAD else 1.0) / (HIGHEST - LOWEST)
    return Scale(scale, int(np.clip(round(LOWEST - low / scale), LOWEST, HIGHEST)))


def _stored(numbers: npt.NDArray[np.float64], scale: Scale) -> npt.NDArray[np.float64]:
    quantised = np.clip(np.round(numbers / scale.scale) + scale.zero, LOWEST, HIGHEST)
    return (quantised - scale.zero) * scale.scale


def observe(network: Graph, images: Tensor) -> list[Observed]:
    """Return the ranges of all values over images (N, C, H, W), normalised."""
    found = [Observed() for _ in range(len(network.nodes) + 1)]
    for batch in torch.split(images, _BATCH):
        floats.run(network, batch, lambda value, x: found[value].add(x))
    return found


@dataclass(frozen=True)
class Stored:
    """How a value is stored as an integer."""

    scale: Scale
    low: int = LOWEST
    high: int = HIGHEST
    """Bounds that the integers are clamped to, which a merged ReLU narrows."""


def storage(network: Graph, observed: list[Observed]) -> tuple[Stored, ...]:
    """Return how each value is stored, the input (0) first.

    A ReLU that its only input's own step clamps for has the storage of that input.

    Args:
        network: The operators.
        observed: Of every value.
    """
    found = [Stored(observed[0].scale())]
    for position, node in enumerate(network.nodes):
        merged = isinstance(node.op, graph.Activation) and fuses(network, node.inputs[0])
        found.append(found[node.inputs[0]] if merged else _stored_as(network, observed, position, found))
    return tuple(found)


def _stored_as(network: Graph, observed: list[Observed], position: int, before: list[Stored]) -> Stored:
    node, value = network.nodes[position], position + 1
    if position == len(network.nodes) - 1:
        # A quarter of the range is left for images that are more extreme than the calibration.
        extreme = max(-observed[value].low, observed[value].high, 1e-6)
        return Stored(Scale(1.25 * extreme / WIDEST, 0), -WIDEST, WIDEST)
    if isinstance(node.op, graph.Slice):
        return Stored(before[node.inputs[0]].scale)
    users = network.users(value)
    reader = network.nodes[users[0]].op if len(users) == 1 else None
    if fuses(network, value):
        scale = observed[users[0] + 1].scale(*_flat(reader))
        return Stored(scale, scale.zero, HIGHEST)
    return Stored(observed[value].scale(*_flat(reader)))


def _flat(reader: object) -> tuple[float, float]:
    """Return the bounds beyond which the only reader of a value does not tell its numbers apart."""
    if not isinstance(reader, graph.Activation):
        return -math.inf, math.inf
    return _FLAT_BELOW[reader.kind], _FLAT_ABOVE.get(reader.kind, math.inf)
