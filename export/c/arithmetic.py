"""The int8 arithmetic as data: what the C code and the interpreter in NumPy both compute.

A real number r is stored as the integer q = round(r / scale) + zero. An operator computes in int32 and brings
the result to the scale of its output by a multiplication and a shift,

    rescale(a) = (a * multiplier + 2 ** (shift - 1)) >> shift        (64 bits; >> rounds down)

which is a times multiplier / 2 ** shift, rounded half up. A worked case: 0.1 is multiplier 1717986918 (0.8 *
2 ** 31) with shift 34, and rescale(26) = (26 * 1717986918 + 2 ** 33) >> 34 = 3.

The scheme is that of Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference" (2018), with one scale for each output channel of the weights.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.flash import Flash

Shape = tuple[int, int, int]
Int8 = npt.NDArray[np.int8]
Int32 = npt.NDArray[np.int32]
LOWEST, HIGHEST = -128, 127
WIDEST = 32_767
"""Of the scores, which have 16 bits: 256 steps would make the two best classes equal too often."""
MOST_SHIFT = 62


@dataclass(frozen=True)
class Scale:
    """How real numbers are stored: r = (q - zero) * scale."""

    scale: float
    zero: int


@dataclass(frozen=True)
class Rescale:
    """A positive real factor as multiplier / 2 ** shift."""

    multiplier: int
    """Below 2 ** 31."""
    shift: int
    """1 to 62."""

    @classmethod
    def of(cls, factor: float) -> Rescale:
        """Return the factor with 31 bits of precision.

        Raises:
            ValueError: It is not positive, or 2 ** 30 or more.
        """
        if not 0 < factor < 2**30:
            raise ValueError(f"`0 < factor < 2 ** 30` must hold, but got factor={factor}")
        fraction, exponent = math.frexp(factor)  # factor = fraction * 2 ** exponent, 0.5 <= fraction < 1
        multiplier, shift = round(fraction * 2**31), 31 - exponent
        if multiplier == 2**31:
            multiplier, shift = 2**30, shift - 1
        if shift > MOST_SHIFT:  # as good as zero
            multiplier, shift = multiplier >> min(shift - MOST_SHIFT, 31), MOST_SHIFT
        return cls(multiplier, shift)


@dataclass(frozen=True, eq=False)
class Convolution:
    """Accumulates (input - input zero) * weight from the bias on; outside the map the input is its zero."""

    weight: Int8
    """(outputs, kernel height, kernel width, inputs / groups)"""
    bias: Int32
    """(outputs,)"""
    rescales: tuple[Rescale, ...]
    """One for each output channel."""
    stride: tuple[int, int]
    padding: tuple[int, int]
    """Above and to the left."""
    dilation: tuple[int, int]
    groups: int
    transposed: bool
    low: int
    """Results are clamped to `low`, `high`, which a ReLU or ReLU6 narrows."""
    high: int

    @property
    def depthwise(self) -> bool:
        """Whether every channel has a kernel of its own."""
        return not self.transposed and self.groups == len(self.weight) and self.weight.shape[3] == 1


@dataclass(frozen=True, eq=False)
class Table:
    """An activation: the result for each of the 256 inputs, from -128 on."""

    results: Int8


@dataclass(frozen=True)
class Add:
    """((a - zero) * first + (b - zero) * second + 2 ** (shift - 1)) >> shift, in 32 bits."""

    first: int
    second: int
    shift: int
    low: int
    high: int


@dataclass(frozen=True)
class Multiply:
    """rescale((a - zero) * (b - zero)); b may be one number a channel."""

    rescale: Rescale


@dataclass(frozen=True)
class Concat:
    """The inputs one behind the other by channels, each brought to the scale of the output."""

    rescales: tuple[Rescale, ...]


@dataclass(frozen=True)
class Slice:
    """Channels from `start` on, unchanged."""

    start: int


@dataclass(frozen=True)
class Mean:
    """rescale(sum of (x - zero) over the map)."""

    rescale: Rescale


Op = Convolution | Table | Add | Multiply | Concat | Slice | Mean


@dataclass(frozen=True, eq=False)
class Step:
    """One operator with the scale of its result; step i computes value i + 1, value 0 is the input."""

    name: str
    op: Op
    inputs: tuple[int, ...]
    shape: Shape
    """(height, width, channels) of the result: as it lies in memory."""
    scale: Scale

    @property
    def bytes(self) -> int:
        """Of the result, in int8."""
        return math.prod(self.shape)

    def macs(self, input_shape: Shape) -> int:
        """Return the multiply-accumulates, as `rfcalc` counts them: those of convolutions alone."""
        if not isinstance(self.op, Convolution):
            return 0
        height, width, _ = input_shape if self.op.transposed else self.shape
        return self.op.weight.size * height * width


@dataclass(frozen=True, eq=False)
class Program:
    """A network in int8. The last step computes the scores, which have 16 bits and the zero 0."""

    name: str
    classes: tuple[str, ...]
    input_shape: Shape
    """(height, width, 3)"""
    input_scale: Scale
    pixels: Int8
    """(3, 256): what each value of a pixel is to the network, channel by channel: the normalisation."""
    steps: tuple[Step, ...]

    def shape(self, value: int) -> Shape:
        """Return the shape of a value."""
        return self.input_shape if value == 0 else self.steps[value - 1].shape

    def scale(self, value: int) -> Scale:
        """Return the scale of a value."""
        return self.input_scale if value == 0 else self.steps[value - 1].scale

    @property
    def score_scale(self) -> float:
        """What a score is multiplied by to be a logit."""
        return self.steps[-1].scale.scale

    def sizes(self) -> dict[str, int]:
        """Return the bytes of the constants: weights, biases, multipliers and tables."""
        convolutions = [step.op for step in self.steps if isinstance(step.op, Convolution)]
        tables = {step.op.results.tobytes() for step in self.steps if isinstance(step.op, Table)}
        channels = sum(len(op.bias) for op in convolutions)
        return asdict(Flash.of(sum(op.weight.size for op in convolutions), channels, len(tables)))


def clamped(values: npt.NDArray[Any], low: int = LOWEST, high: int = HIGHEST) -> Int8:
    """Return int8 values within bounds."""
    return np.asarray(np.clip(values, low, high), dtype=np.int8)
