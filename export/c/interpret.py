"""The int8 arithmetic in NumPy: the judge of the C code, which must agree bit for bit.

It shares no code with the C: convolutions add shifted maps tap by tap, transposed ones scatter where the C
gathers, and products are summed in float64, which is exact below 2 ** 53 (a sum here stays below 2 ** 31).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from export.c.arithmetic import (
    LOWEST,
    WIDEST,
    Add,
    Concat,
    Convolution,
    Mean,
    Multiply,
    Program,
    Rescale,
    Slice,
    Step,
    Table,
    clamped,
)

Values = npt.NDArray[Any]


def run(
    program: Program,
    images: npt.NDArray[np.uint8],
    observe: Callable[[int, Values], None] = lambda value, x: None,
) -> npt.NDArray[np.int16]:
    """Compute the scores.

    Args:
        program: The network.
        images: (N, H, W, 3) pixels, 0-255.
        observe: Called with every value (N, H, W, C) as it is computed, the input (0) included.

    Returns:
        (N, classes); times `program.score_scale` they are logits.
    """
    x = np.stack([program.pixels[channel][images[..., channel]] for channel in range(3)], axis=-1)
    values: dict[int, Values] = {0: x}
    observe(0, x)
    last = {value: position for position, step in enumerate(program.steps) for value in step.inputs}
    for position, step in enumerate(program.steps):
        zeros = [program.scale(value).zero for value in step.inputs]
        inputs = [values[value] for value in step.inputs]
        found = _compute(step, inputs, zeros)
        scores = position == len(program.steps) - 1
        values[position + 1] = np.clip(found, -WIDEST, WIDEST).astype(np.int16) if scores else clamped(found)
        observe(position + 1, values[position + 1])
        for value in step.inputs:
            if last[value] == position:
                values.pop(value, None)
    result: npt.NDArray[np.int16] = values[len(program.steps)].reshape(len(images), -1)
    return result


def rescaled(total: Values, by: Rescale) -> npt.NDArray[np.int64]:
    """Return (total * multiplier + 2 ** (shift - 1)) >> shift, in 64 bits."""
    result: npt.NDArray[np.int64] = (
        total.astype(np.int64) * by.multiplier + (1 << (by.shift - 1))
    ) >> by.shift
    return result


def _compute(step: Step, inputs: Sequence[Values], zeros: Sequence[int]) -> Values:
    x, op, zero = inputs[0], step.op, step.scale.zero
    match op:
        case Convolution():
            return _convolve(op, x, zeros[0], step)
        case Table():
            return op.results[x.astype(np.int16) - LOWEST]
        case Add():
            a, b = (each.astype(np.int32) - offset for each, offset in zip(inputs, zeros, strict=True))
            total = (a * op.first + b * op.second + (1 << (op.shift - 1))) >> op.shift
            return clamped(total + zero, op.low, op.high)
        case Multiply():
            a, b = (each.astype(np.int32) - offset for each, offset in zip(inputs, zeros, strict=True))
            return clamped(rescaled(a * b, op.rescale) + zero)
        case Concat():
            parts = (
                clamped(rescaled(each.astype(np.int32) - offset, by) + zero)
                for each, offset, by in zip(inputs, zeros, op.rescales, strict=True)
            )
            return np.concatenate(list(parts), axis=-1)
        case Slice():
            return x[..., op.start : op.start + step.shape[2]]
        case Mean():
            total = (x.astype(np.int32) - zeros[0]).sum(axis=(1, 2), keepdims=True)
            return rescaled(total, op.rescale) + zero


def _convolve(op: Convolution, x: Values, zero: int, step: Step) -> Values:
    source = x.astype(np.float64) - zero
    height, width, channels = step.shape
    total = np.zeros((len(x), height, width, channels))
    for row in range(op.weight.shape[1]):
        for column in range(op.weight.shape[2]):
            taps = op.weight[:, row, column].astype(np.float64)
            if op.transposed:
                _scatter(op, source, taps, (row, column), total)
            else:
                _gather(op, source, taps, (row, column), total)
    exact = total.astype(np.int64) + op.bias
    columns = [rescaled(exact[..., channel], by) for channel, by in enumerate(op.rescales)]
    return np.clip(np.stack(columns, axis=-1) + step.scale.zero, op.low, op.high)


def _gather(op: Convolution, source: Values, taps: Values, place: tuple[int, int], total: Values) -> None:
    """Add one tap of a convolution: output o reads input o * stride + place * dilation - padding."""
    rows, columns = (
        _overlap(total.shape[axis + 1], source.shape[axis + 1], op.stride[axis], at)
        for axis, at in enumerate(place[axis] * op.dilation[axis] - op.padding[axis] for axis in (0, 1))
    )
    part = source[:, rows[1]][:, :, columns[1]]
    total[:, rows[0], columns[0]] += _mixed(op, part, taps)


def _scatter(op: Convolution, source: Values, taps: Values, place: tuple[int, int], total: Values) -> None:
    """Add one tap of a transposed one: input i reaches output i * stride + place * dilation - padding."""
    rows, columns = (
        _overlap(source.shape[axis + 1], total.shape[axis + 1], op.stride[axis], at)
        for axis, at in enumerate(place[axis] * op.dilation[axis] - op.padding[axis] for axis in (0, 1))
    )
    part = source[:, rows[0]][:, :, columns[0]]
    total[:, rows[1], columns[1]] += _mixed(op, part, taps)


def _overlap(count: int, reach: int, stride: int, at: int) -> tuple[slice, slice]:
    """Return the indices i in 0..count with 0 <= i * stride + at < reach, and those places."""
    first = max(0, -(at // stride))
    last = min(count - 1, (reach - 1 - at) // stride)
    if last < first:
        return slice(0, 0), slice(0, 0)
    begin = first * stride + at
    return slice(first, last + 1), slice(begin, last * stride + at + 1, stride)


def _mixed(op: Convolution, part: Values, taps: Values) -> Values:
    """Multiply (N, H, W, inputs) by one tap (outputs, inputs / groups), group by group."""
    outputs, share = taps.shape
    if op.groups == 1:
        return part @ taps.T
    if share == 1 and outputs == op.groups:
        return part * taps[:, 0]
    grouped = part.reshape(*part.shape[:3], op.groups, share)
    kernels = taps.reshape(op.groups, outputs // op.groups, share)
    mixed: Values = np.einsum("nhwgi,goi->nhwgo", grouped, kernels)
    return mixed.reshape(*part.shape[:3], outputs)
