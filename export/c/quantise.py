"""From a float32 graph and calibration images to int8 arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from export import floats, graph
from export.c import arithmetic
from export.c.arithmetic import HIGHEST, LOWEST, WIDEST, Program, Rescale, Scale, Step
from export.errors import ExportError
from export.graph import Graph

_BATCH = 50
_KEPT = 65_536
"""Numbers of a value that are kept of a batch of images; the search for its range needs no more."""
_DEAD = 1e-6
_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
"""Of the observed extremes, tried as the range: a narrower one cuts a few and rounds the others less."""
_FLAT_BELOW = {"hardswish": -3.0, "relu6": 0.0, "relu": 0.0, "silu": -8.0, "gelu": -4.0, "sigmoid": -8.0}
_FLAT_ABOVE = {"relu6": 6.0, "sigmoid": 8.0}
"""Where an activation hardly changes any more, so that its input need not be told apart there."""


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


def quantise(
    name: str,
    classes: tuple[str, ...],
    network: Graph,
    calibration: npt.NDArray[np.uint8],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Program:
    """Return a network in int8.

    Args:
        name: Of the network.
        classes: Names.
        network: Its operators.
        calibration: (N, H, W, 3) images, 0-255.
        mean: Per channel, 0-255.
        std: Per channel.

    Raises:
        ExportError: The last operator is no convolution, linear layer or mean; or a number is NaN.
    """
    offset, factor = (torch.tensor(each).view(1, 3, 1, 1) for each in (mean, [1 / value for value in std]))
    images = (torch.from_numpy(calibration).permute(0, 3, 1, 2).float() - offset) * factor
    observed = observe(network, images)
    if not all(each.finite for each in observed):
        raise ExportError(
            f"{name}: answers the calibration images with NaN or infinity; its weights are of no use"
        )
    return _Quantiser(name, network, observed).program(classes, mean, std)


class _Quantiser:
    """Makes the steps one by one; a ReLU is no step but narrows the step before it.

    Args:
        name: Of the network.
        network: Its operators.
        observed: Of every value.
    """

    def __init__(self, name: str, network: Graph, observed: list[Observed]) -> None:
        self._name, self._network, self._observed = name, network, observed
        self._steps: list[Step] = []
        self._value: dict[int, int] = {0: 0}
        """Value of the graph to value of the program."""
        self._input = observed[0].scale()

    def program(self, classes: tuple[str, ...], mean: tuple[float, ...], std: tuple[float, ...]) -> Program:
        nodes = self._network.nodes
        if not isinstance(nodes[-1].op, graph.Convolution | graph.Mean):
            raise ExportError(
                f"{self._name}: ends in {type(nodes[-1].op).__name__.lower()} ({nodes[-1].name}); for C the "
                "scores must come from a linear layer, a convolution or a global average"
            )
        for position, node in enumerate(nodes):
            self._step(position, node)
        levels = np.arange(256)
        pixels = [
            _quantised(np.asarray((levels - middle) / spread), self._input)
            for middle, spread in zip(mean, std, strict=True)
        ]
        channels, height, width = self._network.input_shape
        return Program(
            self._name, classes, (height, width, channels), self._input, np.stack(pixels), tuple(self._steps)
        )

    def _scale(self, value: int) -> Scale:
        mapped = self._value[value]
        return self._input if mapped == 0 else self._steps[mapped - 1].scale

    def _step(self, position: int, node: graph.Node) -> None:
        if isinstance(node.op, graph.Activation) and _fuses(self._network, node.inputs[0]):
            self._value[position + 1] = self._value[node.inputs[0]]
            return
        scale, low, high = self._target(position, node)
        op = self._op(node, scale, low, high)
        channels, height, width = node.shape
        inputs = tuple(self._value[value] for value in node.inputs)
        self._steps.append(Step(node.name, op, inputs, (height, width, channels), scale))
        self._value[position + 1] = len(self._steps)

    def _target(self, position: int, node: graph.Node) -> tuple[Scale, int, int]:
        """Return the scale of a node's result and the bounds that it is clamped to."""
        value = position + 1
        if position == len(self._network.nodes) - 1:
            # A quarter of the range is left for images that are more extreme than the calibration.
            extreme = max(-self._observed[value].low, self._observed[value].high, 1e-6)
            return Scale(1.25 * extreme / WIDEST, 0), -WIDEST, WIDEST
        if isinstance(node.op, graph.Slice):
            return self._scale(node.inputs[0]), LOWEST, HIGHEST
        users = self._network.users(value)
        reader = self._network.nodes[users[0]].op if len(users) == 1 else None
        if _fuses(self._network, value):
            scale = self._observed[users[0] + 1].scale(*_flat(reader))
            return scale, scale.zero, HIGHEST
        return self._observed[value].scale(*_flat(reader)), LOWEST, HIGHEST

    def _op(self, node: graph.Node, scale: Scale, low: int, high: int) -> arithmetic.Op:
        op, first = node.op, self._scale(node.inputs[0])
        match op:
            case graph.Convolution():
                return _convolution(op, first, scale, (low, high), f"{self._name}: {node.name}")
            case graph.Activation():
                inputs = (np.arange(LOWEST, HIGHEST + 1) - first.zero) * first.scale
                results = floats.FUNCTIONS[op.kind](torch.from_numpy(inputs)).numpy()
                return arithmetic.Table(_quantised(results, scale))
            case graph.Add():
                return _add(first, self._scale(node.inputs[1]), scale, low, high)
            case graph.Multiply():
                factor = first.scale * self._scale(node.inputs[1]).scale / scale.scale
                return arithmetic.Multiply(Rescale.of(factor))
            case graph.Concat():
                factors = (self._scale(value).scale / scale.scale for value in node.inputs)
                return arithmetic.Concat(tuple(map(Rescale.of, factors)))
            case graph.Slice():
                return arithmetic.Slice(op.start)
            case graph.Mean():
                _, height, width = self._network.shape(node.inputs[0])
                return arithmetic.Mean(Rescale.of(first.scale / scale.scale / (height * width)))


def _fuses(network: Graph, value: int) -> bool:
    """Return whether a value is read by a ReLU alone that its own step can clamp for."""
    users = network.users(value)
    if value == 0 or len(users) != 1:
        return False
    op, before = network.nodes[users[0]].op, network.nodes[value - 1].op
    clamps = isinstance(op, graph.Activation) and op.kind in ("relu", "relu6")
    return clamps and isinstance(before, graph.Convolution | graph.Add)


def values_of(network: Graph) -> list[int]:
    """Return, for each value of the program, the value of the graph that it stores."""
    found, place = [0], {0: 0}
    for position, node in enumerate(network.nodes):
        value = position + 1
        if isinstance(node.op, graph.Activation) and _fuses(network, node.inputs[0]):
            place[value] = place[node.inputs[0]]
            found[place[value]] = value
        else:
            place[value] = len(found)
            found.append(value)
    return found


def _flat(reader: object) -> tuple[float, float]:
    """Return the bounds beyond which the only reader of a value does not tell its numbers apart."""
    if not isinstance(reader, graph.Activation):
        return -math.inf, math.inf
    return _FLAT_BELOW[reader.kind], _FLAT_ABOVE.get(reader.kind, math.inf)


def _quantised(numbers: npt.NDArray[np.float64], scale: Scale) -> arithmetic.Int8:
    return arithmetic.clamped(np.round(numbers / scale.scale) + scale.zero)


def _convolution(
    op: graph.Convolution, first: Scale, scale: Scale, bounds: tuple[int, int], place: str
) -> arithmetic.Convolution:
    weight, bias = op.weight.astype(np.float64), op.bias.astype(np.float64)
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    # The bias, in units of input scale times weight scale, must leave room in 32 bits.
    scales = np.maximum(largest / HIGHEST, np.abs(bias) / first.scale / 2**29)
    scales[scales == 0] = 1.0
    integers = np.round(weight / scales[:, None, None, None]).transpose(0, 2, 3, 1)
    offsets = np.round(bias / (first.scale * scales))
    largest = np.abs(integers).reshape(len(weight), -1).sum(axis=1) * 255 + np.abs(offsets)
    if largest.max() >= 2**31:
        raise ExportError(
            f"{place}: a sum of its products may exceed 32 bits; divide its input channels into groups"
        )
    return arithmetic.Convolution(
        weight=np.ascontiguousarray(integers).astype(np.int8),
        bias=offsets.astype(np.int32),
        rescales=_rescales(first.scale * scales / scale.scale),
        stride=op.stride,
        padding=op.padding,
        dilation=op.dilation,
        groups=op.groups,
        transposed=op.transposed,
        low=bounds[0],
        high=bounds[1],
    )


def _rescales(factors: Iterable[float]) -> tuple[Rescale, ...]:
    return tuple(Rescale.of(float(factor)) for factor in factors)


def _add(first: Scale, second: Scale, scale: Scale, low: int, high: int) -> arithmetic.Add:
    """Return a sum in 32 bits: factors below 2 ** 21, since an input without its zero has 9 bits."""
    factors = first.scale / scale.scale, second.scale / scale.scale
    shift = int(np.clip(20 - math.ceil(math.log2(max(factors))), 1, 30))
    a, b = (round(factor * 2**shift) for factor in factors)
    return arithmetic.Add(a, b, shift, low, high)
