"""Which input pixels the outputs of windows see, along one axis of the unbounded plane, exact.

The grammar's kernels are square, so one axis represents both. Output o of a map sees the input pixels
lows[o] to highs[o] and repeats: output o + period sees the same pixels moved by `shift`. Convolutions keep a
period of 1; a stride-2 transposed convolution doubles it. The index maps are those of torch, for taps t from
0 to kernel - 1: a convolution's output o reads o * stride - padding + dilation * t, a transposed one's reads
(o + padding - dilation * t) / stride wherever that is whole.
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd, lcm
from typing import NamedTuple


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


def union(first: Hulls, second: Hulls) -> Hulls:
    """Return what outputs see that add (or concatenate) two maps of one scale."""
    period = lcm(len(first.lows), len(second.lows))
    first, second = _repeated(first, period), _repeated(second, period)
    lows, highs = map(min, first.lows, second.lows), map(max, first.highs, second.highs)
    return Hulls(first.shift, tuple(lows), tuple(highs))


def window(field: Hulls, kernel: int, stride: int, padding: int, dilation: int) -> Hulls:
    """Return what the outputs of a convolution see where its inputs see `field`.

    A worked case: after a 3x3 of padding 1 on the image (shift 1, pixels -1 to 1), the same with stride 2
    sees -1 - 1 * 1 = -2 to 1 + (2 - 1) * 1 = 2, five pixels, and its next output sees them moved by 2.
    """
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


def transposed_window(field: Hulls, kernel: int, stride: int, padding: int, dilation: int) -> Hulls:
    """Return what the outputs of a transposed convolution see where its inputs see `field`.

    A worked case: kernel 3, stride 2, padding 1 on the image. Output 0 reads the inputs (0 + 1 - t) / 2 for
    t = 0, 1, 2, of which t = 1 alone is whole: input 0. Output 1 reads (1 + 1 - t) / 2, inputs 1 and 0. So
    the period is 2: lows (0, 0), highs (0, 1), and output 2 sees what output 0 sees, moved by 1.
    """
    outputs = len(field.lows) * stride
    taps = range(0, dilation * kernel, dilation)
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
