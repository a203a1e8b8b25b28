"""From a float32 graph and calibration images to int8 arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from export import floats, graph
from export.c import arithmetic
from export.c.arithmetic import HIGHEST, LOWEST, Program, Rescale, Scale, Step
from export.c.calibration import Stored, observe, storage
from export.errors import ExportError
from export.graph import Graph, fuses


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
    return program_of(name, classes, network, calibrated(name, network, calibration, mean, std), mean, std)


def calibrated(
    name: str,
    network: Graph,
    calibration: npt.NDArray[np.uint8],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> tuple[Stored, ...]:
    """Return how each value of the network is stored; the arguments and errors are those of `quantise`."""
    last = network.nodes[-1]
    if not isinstance(last.op, graph.Convolution | graph.Mean):
        raise ExportError(
            f"{name}: ends in {type(last.op).__name__.lower()} ({last.name}); for int8 the scores must come "
            "from a linear layer, a convolution or a global average"
        )
    offset, factor = (torch.tensor(each).view(1, 3, 1, 1) for each in (mean, [1 / value for value in std]))
    images = (torch.from_numpy(calibration).permute(0, 3, 1, 2).float() - offset) * factor
    observed = observe(network, images)
    if not all(each.finite for each in observed):
        raise ExportError(
            f"{name}: answers the calibration images with NaN or infinity; its weights are of no use"
        )
    return storage(network, observed)


def program_of(
    name: str,
    classes: tuple[str, ...],
    network: Graph,
    stored: Sequence[Stored],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Program:
    """Return a network in int8.

    A ReLU is no step but narrows the step before it.

    Args:
        name: Of the network.
        classes: Names.
        network: Its operators.
        stored: How each value is stored, the input (0) first.
        mean: Per channel, 0-255.
        std: Per channel.

    Raises:
        ExportError: A sum of products may exceed 32 bits.
    """
    place = {0: 0}  # value of the graph to value of the program
    steps: list[Step] = []
    for position, node in enumerate(network.nodes):
        if isinstance(node.op, graph.Activation) and fuses(network, node.inputs[0]):
            place[position + 1] = place[node.inputs[0]]
            continue
        kept = stored[position + 1]
        op = _op(name, network, node, [stored[value].scale for value in node.inputs], kept)
        channels, height, width = node.shape
        inputs = tuple(place[value] for value in node.inputs)
        steps.append(Step(node.name, op, inputs, (height, width, channels), kept.scale))
        place[position + 1] = len(steps)
    levels = np.arange(256)
    pixels = [
        _quantised(np.asarray((levels - middle) / spread), stored[0].scale)
        for middle, spread in zip(mean, std, strict=True)
    ]
    channels, height, width = network.input_shape
    return Program(name, classes, (height, width, channels), stored[0].scale, np.stack(pixels), tuple(steps))


def _op(name: str, network: Graph, node: graph.Node, scales: Sequence[Scale], kept: Stored) -> arithmetic.Op:
    """Return the integer form of a node.

    Args:
        name: Of the network.
        network: Where the node is.
        node: The node.
        scales: Of its inputs.
        kept: How its result is stored.
    """
    op, first, scale = node.op, scales[0], kept.scale
    match op:
        case graph.Convolution():
            return _convolution(op, first, kept, f"{name}: {node.name}")
        case graph.Activation():
            inputs = (np.arange(LOWEST, HIGHEST + 1) - first.zero) * first.scale
            results = floats.FUNCTIONS[op.kind](torch.from_numpy(inputs)).numpy()
            return arithmetic.Table(_quantised(results, scale))
        case graph.Add():
            return _add(first, scales[1], scale, kept.low, kept.high)
        case graph.Multiply():
            return arithmetic.Multiply(Rescale.of(first.scale * scales[1].scale / scale.scale))
        case graph.Concat():
            return arithmetic.Concat(_rescales(each.scale / scale.scale for each in scales))
        case graph.Slice():
            return arithmetic.Slice(op.start)
        case graph.Mean():
            _, height, width = network.shape(node.inputs[0])
            return arithmetic.Mean(Rescale.of(first.scale / scale.scale / (height * width)))


def values_of(network: Graph) -> list[int]:
    """Return, for each value of the program, the value of the graph that it stores."""
    found, place = [0], {0: 0}
    for position, node in enumerate(network.nodes):
        value = position + 1
        if isinstance(node.op, graph.Activation) and fuses(network, node.inputs[0]):
            place[value] = place[node.inputs[0]]
            found[place[value]] = value
        else:
            place[value] = len(found)
            found.append(value)
    return found


def _quantised(numbers: npt.NDArray[np.float64], scale: Scale) -> arithmetic.Int8:
    return arithmetic.clamped(np.round(numbers / scale.scale) + scale.zero)


def weight_scales(weight: Tensor, bias: Tensor, input_scale: float) -> Tensor:
    """Return the scale of each output channel, float64 (outputs,): its largest weight is 127.

    Args:
        weight: (outputs, inputs / groups, height, width)
        bias: (outputs,); in units of input scale times weight scale it must leave room in 32 bits.
        input_scale: Of what is convolved.
    """
    largest = weight.detach().double().abs().amax((1, 2, 3)) / HIGHEST
    scales = torch.maximum(largest, bias.detach().double().abs() / input_scale / 2**29)
    return torch.where(scales == 0, 1.0, scales)


def _convolution(op: graph.Convolution, first: Scale, kept: Stored, place: str) -> arithmetic.Convolution:
    scales = weight_scales(torch.from_numpy(op.weight), torch.from_numpy(op.bias), first.scale).numpy()
    integers = np.round(op.weight.astype(np.float64) / scales[:, None, None, None]).transpose(0, 2, 3, 1)
    offsets = np.round(op.bias.astype(np.float64) / (first.scale * scales))
    largest = np.abs(integers).reshape(len(integers), -1).sum(axis=1) * 255 + np.abs(offsets)
    if largest.max() >= 2**31:
        raise ExportError(
            f"{place}: a sum of its products may exceed 32 bits; divide its input channels into groups"
        )
    return arithmetic.Convolution(
        weight=np.ascontiguousarray(integers).astype(np.int8),
        bias=offsets.astype(np.int32),
        rescales=_rescales(first.scale * scales / kept.scale.scale),
        stride=op.stride,
        padding=op.padding,
        dilation=op.dilation,
        groups=op.groups,
        transposed=op.transposed,
        low=kept.low,
        high=kept.high,
    )


def _rescales(factors: Iterable[float]) -> tuple[Rescale, ...]:
    return tuple(Rescale.of(float(factor)) for factor in factors)


def _add(first: Scale, second: Scale, scale: Scale, low: int, high: int) -> arithmetic.Add:
    """Return a sum in 32 bits: factors below 2 ** 21, since an input without its zero has 9 bits."""
    factors = first.scale / scale.scale, second.scale / scale.scale
    shift = int(np.clip(20 - math.ceil(math.log2(max(factors))), 1, 30))
    a, b = (round(factor * 2**shift) for factor in factors)
    return arithmetic.Add(a, b, shift, low, high)
