"""Multiply-accumulates that one call of an op executes, whatever the convention of a report counts of them.

Each function takes a `Call` and returns the number for the whole batch. Biases, elementwise arithmetic and
the exponentials of a softmax are no multiply-accumulates (docs/conventions.md).
"""

from __future__ import annotations

from math import log2, prod

from rfcalc.ops.call import Call
from rfcalc.ops.window import window_of
from rfcalc.trace.graph import Ref

__all__ = [
    "attention",
    "convolution",
    "deformable",
    "factors",
    "fourier",
    "grid",
    "product",
    "recurrent",
    "trilinear",
]

_FACTORS = {"addmm": 1, "baddbmm": 1, "addmv": 1, "addbmm": 1}
"""Number of the first factor among the arguments, where a summand comes before it."""

_TAPS = {0: 2, 1: 1, 2: 4}
"""Places along one axis that an interpolation mode of grid_sample weighs: bilinear, nearest, bicubic."""


def convolution(call: Call) -> int:
    """Filters times positions: output positions, or input positions where the convolution is transposed.

    A 3x3 convolution of 16 to 32 channels on a map of 8x8: 8 * 8 * 16 * 32 * 3 * 3 = 294,912.
    """
    window = window_of(call.graph, call.node)
    assert window is not None
    image = call.node.args[0].value if window.transposed else call.node.outputs[0]
    shape = call.graph.values[image].shape
    filters = window.in_channels // window.groups * window.out_channels * prod(window.kernel)
    # A complex multiplication would be four real ones; PyTorch runs a complex convolution as three real ones.
    return shape[0] * prod(shape[2:]) * filters


def factors(call: Call) -> list[Ref]:
    """Return the two factors of a (batched) matrix product."""
    first = _FACTORS.get(call.node.name, 0)
    return [ref for ref in call.node.args[first : first + 2] if isinstance(ref, Ref)]


def product(call: Call) -> int:
    """(..., m, k) x (..., k, n): m * k * n for each matrix of the batch."""
    return prod(call.shape()) * call.value(factors(call)[0]).shape[-1]


def trilinear(call: Call) -> int:
    """Products of three factors, summed: nn.Bilinear of 8 and 8 to 4 features is 8 * 8 * 4 for each place."""
    return prod(trilinear_shape(call))


def trilinear_shape(call: Call) -> tuple[int, ...]:
    """Return the shape of the product of three tensors before it is summed."""
    shapes = []
    for ref, places in zip(call.node.args[:3], call.node.args[3:6], strict=True):
        shape = list(call.value(ref).shape)
        for d in sorted(places):
            shape.insert(d, 1)
        shapes.append(shape)
    return tuple(map(max, *shapes))


def attention(call: Call) -> int:
    """Queries times keys, and the weights times the values: L * S * (E + Ev) for each head.

    8 heads on 64 tokens of 16 features: 8 * 64 * 64 * (16 + 16) = 1,048,576.
    """
    query, key, value = (call.value(ref).shape for ref in call.node.args[:3])
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def recurrent(call: Call) -> int:
    """Every step multiplies its input and the previous state with all weight matrices.

    An LSTM of 8 to 16 features over 50 steps: 50 * 4 * 16 * (8 + 16) = 76,800.
    """
    steps_and_batch = prod(call.x.shape[:2])
    weights = [v for v in (call.graph.values[i] for i in call.node.reads) if v.parameter is not None]
    return steps_and_batch * sum(prod(v.shape) for v in weights if len(v.shape) == 2)


def deformable(call: Call) -> int:
    """The filters of a deformable convolution at every output position; sampling is left out."""
    weight = call.value(call.node.args[1]).shape
    out = call.shape()
    return out[0] * prod(out[2:]) * prod(weight)


def grid(call: Call) -> int:
    """Each output element weighs 2 places along each axis (bilinear), 1 (nearest) or 4 (bicubic)."""
    shape = call.shape()
    taps: int = _TAPS[call.arguments.get("interpolation_mode", 0)] ** (len(shape) - 2)
    return prod(shape) * taps


def fourier(call: Call) -> int:
    """Radix-2 transforms of N points: N / 2 * log2 N complex multiplications, four real ones each."""
    shape = max((call.x.shape, call.shape()), key=prod)
    points = prod(shape[d] for d in call.arguments["dim"])
    return round(2 * prod(shape) * log2(points)) if points > 1 else 0
