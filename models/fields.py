"""The receptive field of a chain of windows on the unbounded plane, exact, along one axis.

The grammar's kernels are square, so one axis stands for both. Output o of a map sees the input pixels
lows[o] to highs[o] and repeats: output o + period sees the same pixels moved by `shift`. Convolutions keep a
period of 1; a stride-2 transposed convolution doubles it. The index maps are those of torch, for taps t from
0 to kernel - 1: a convolution's output o reads o * stride - padding + dilation * t, a transposed one's reads
(o + padding - dilation * t) / stride wherever that is whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import gcd, lcm
from typing import NamedTuple

from .layers import LayerSpec, StageSpec
from .spec import NetSpec


class Hulls(NamedTuple):
    """First and last input pixel that each output of one period sees, and how far the next period is away."""

    shift: int
    lows: tuple[int, ...]
    highs: tuple[int, ...]

    @property
    def size(self) -> int:
        """Receptive field in input pixels, the largest over the phases."""
        return max(map(int.__sub__, self.highs, self.lows)) + 1

    @property
    def jump(self) -> Fraction:
        """Input pixels for each output step."""
        # A whole number needs no reducing, which costs more than building one.
        return Fraction(self.shift, len(self.lows)) if len(self.lows) > 1 else Fraction(self.shift)


PIXELS = Hulls(1, (0,), (0,))
"""The input image: pixel i sees itself."""


def features_field(spec: NetSpec) -> Hulls:
    """Return what the last features before the output see, squeeze-excite gates left out."""
    stages = (spec.stem, *spec.stages)
    # Without up-sampling the period is 1 and plain integers do, which a search does all the time.
    shift, low, high = 1, 0, 0
    for stage in stages:
        inputs = []
        for layer in stage.layers:
            inputs.append((low, high))
            if layer.kind == "split":
                before = behind = max([b.dilation * (b.kernel - 1) for b in layer.branches]) // 2
            else:
                reach = layer.dilation * (layer.kernel - 1)
                before = reach // 2 if layer.padding is None else layer.padding
                behind = reach - before
                if layer.kind == "transposed":
                    if layer.stride == 2:
                        return _any_field(stages)
                    before, behind = behind, before
            low, high = low - before * shift, high + behind * shift
            shift *= layer.stride
            if layer.residual:
                other = inputs[-layer.residual]
                low, high = min(low, other[0]), max(high, other[1])
    return Hulls(shift, (low,), (high,))


def _any_field(stages: Iterable[StageSpec]) -> Hulls:
    """Return the field after any stages, up-sampling included."""
    field = PIXELS
    for stage in stages:
        inputs = []
        for layer in stage.layers:
            inputs.append(field)
            field = through_layer(field, layer)
            if layer.residual:
                field = union(field, inputs[-layer.residual])
    return field


def through_layer(field: Hulls, layer: LayerSpec) -> Hulls:
    """Return the field after the convolutions of a layer, its shortcut left out."""
    if layer.kind == "split":
        branches = [
            _window(field, b.kernel, layer.stride, b.dilation * (b.kernel - 1) // 2, b.dilation)
            for b in layer.branches
        ]
        result = branches[0]
        for branch in branches[1:]:
            result = union(result, branch)
        return result
    if layer.kind == "transposed":
        return _transposed(field, layer)
    return _window(field, layer.kernel, layer.stride, layer.pad, layer.dilation)


def union(first: Hulls, second: Hulls) -> Hulls:
    """Return what outputs see that add (or concatenate) two maps of one scale."""
    period = lcm(len(first.lows), len(second.lows))
    first, second = _repeated(first, period), _repeated(second, period)
    lows, highs = map(min, first.lows, second.lows), map(max, first.highs, second.highs)
    return Hulls(first.shift, tuple(lows), tuple(highs))


def _window(field: Hulls, kernel: int, stride: int, padding: int, dilation: int) -> Hulls:
    shift, lows, highs = field
    period = len(lows)
    if period == 1:
        low = lows[0] - padding * shift
        high = highs[0] + (dilation * (kernel - 1) - padding) * shift
        return Hulls(shift * stride, (low,), (high,))
    outputs = period // gcd(period, stride)
    reads = [
        range(o * stride - padding, o * stride - padding + dilation * kernel, dilation)
        for o in range(outputs)
    ]
    return _gathered(field, shift * stride * outputs // period, reads)


def _transposed(field: Hulls, layer: LayerSpec) -> Hulls:
    stride, padding, dilation = layer.stride, layer.pad, layer.dilation
    outputs = len(field.lows) * stride
    taps = range(0, dilation * layer.kernel, dilation)
    reads = [
        [(o + padding - t) // stride for t in taps if (o + padding - t) % stride == 0] for o in range(outputs)
    ]
    return _gathered(field, field.shift, reads)


def _gathered(field: Hulls, shift: int, reads: list[range] | list[list[int]]) -> Hulls:
    """Return the hulls of outputs that read these inputs each."""
    period = len(field.lows)
    lows, highs = [], []
    for inputs in reads:
        places = [divmod(i, period) for i in inputs]
        lows.append(min(field.lows[phase] + turn * field.shift for turn, phase in places))
        highs.append(max(field.highs[phase] + turn * field.shift for turn, phase in places))
    return Hulls(shift, tuple(lows), tuple(highs))


def _repeated(field: Hulls, period: int) -> Hulls:
    """Return the same field written with a longer period."""
    old = len(field.lows)
    if old == period:
        return field
    moves = [(o % old, o // old * field.shift) for o in range(period)]
    lows = tuple(field.lows[phase] + move for phase, move in moves)
    highs = tuple(field.highs[phase] + move for phase, move in moves)
    return Hulls(field.shift * (period // old), lows, highs)
