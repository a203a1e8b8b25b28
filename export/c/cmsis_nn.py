"""Which convolutions Arm's CMSIS-NN computes to the same bit, and the memory that it needs for them.

CMSIS-NN stores numbers as `export.c.arithmetic` does. Its `arm_nn_requantize` shifts to the left by what is
31 minus our shift, and computes

    result = (total * multiplier) >> (31 - shift - 1)        (64 bits, kept in 32)
    result = (result + 1) >> 1

where CMSIS_NN_USE_SINGLE_ROUNDING is defined. Since floor((floor(2 x) + 1) / 2) = floor(x + 1 / 2), that is
our `rescale` wherever the first line fits 32 bits. Its default, kept for TensorFlow Lite, rounds twice: for
total = -2, multiplier = 2 ** 30 and shift = -1 one rounding gives 0 and two give -1.

Sources: arm_nnsupportfunctions.h, and the functions arm_*_get_buffer_size of CMSIS-NN (Arm, Apache-2.0).
"""

from __future__ import annotations

import math

import numpy as np

from export.c.arithmetic import Convolution, Program, Shape, Step

_NARROW = 2**15 - 1
"""Sides, channels and products of an output that CMSIS-NN counts in 16 bits."""


SELF_TEST = """#ifdef NETWORK_CMSIS_NN
    if (!cmsis_nn_rounds_once()) {
        return 1;
    }
#endif
"""
"""What network_self_test() asks first: whether CMSIS-NN was compiled to round once."""


def computes(program: Program, step: Step) -> bool:
    """Return whether CMSIS-NN has the same result in every bit.

    That holds for plain and depthwise convolutions, dilated ones included. Not for transposed ones, groups of
    several channels, the scores (16 bits), a kernel whose middle leaves the map, and factors so large that a
    result before its clamp leaves 32 bits.

    Args:
        program: The network.
        step: One of its steps.
    """
    op = step.op
    if not isinstance(op, Convolution) or step is program.steps[-1] or op.transposed:
        return False
    if op.groups != 1 and not op.depthwise:
        return False
    shape = program.shape(step.inputs[0])
    numbers = (*shape, *step.shape, math.prod(op.weight.shape[1:]))
    return max(numbers) <= _NARROW and _stays(op, shape, step.shape) and _fits(op)


def buffer_bytes(program: Program) -> int:
    """Return the bytes of the buffer for the calls of CMSIS-NN, 0 where there are none."""
    calls = (step.op for step in program.steps if computes(program, step))
    return max((_needed(op) for op in calls if isinstance(op, Convolution)), default=0)


def definition(program: Program) -> str:
    """Return what network.h says of the buffer; nothing where there is none."""
    needed = buffer_bytes(program)
    if not needed:
        return ""
    return f"""
/* Memory beside the arena, with -DNETWORK_CMSIS_NN alone. Another version of CMSIS-NN may want more. */
#ifndef NETWORK_CMSIS_NN_BYTES
#define NETWORK_CMSIS_NN_BYTES {needed}
#endif
"""


def _stays(op: Convolution, shape: Shape, output: Shape) -> bool:
    """Return whether the middle tap of every kernel lies on the map, whatever the padding.

    `arm_depthwise_conv_3x3_s8` reads its middle column without looking, and `arm_convolve_1x1_s8_fast`
    computes as many outputs as there are inputs.
    """
    for axis in (0, 1):
        first = (op.weight.shape[1 + axis] - 1) // 2 * op.dilation[axis] - op.padding[axis]
        last = first + (output[axis] - 1) * op.stride[axis]
        if first < 0 or last >= shape[axis]:
            return False
    return True


def _fits(op: Convolution) -> bool:
    """Return whether every sum still fits 32 bits when shifted to the left before it is rounded.

    CMSIS-NN adds the input zero times the weights apart, so its partial sums have numbers of up to 256.
    """
    sums = np.abs(op.weight.astype(np.int64)).reshape(len(op.weight), -1).sum(axis=1) * 256
    largest = sums + np.abs(op.bias.astype(np.int64))
    shifts = np.array([max(0, 32 - by.shift) for by in op.rescales])
    return bool((largest * 2.0**shifts < 2**31).all())


def _needed(op: Convolution) -> int:
    """Return the bytes of a layer: its shifts, the turned weights of a depthwise one, and columns of inputs.

    `arm_convolve_s8` collects two columns in 16 bits, each filled up to a multiple of four (older versions do
    not fill up). `arm_depthwise_conv_s8_opt` collects one; the kernel for 3x3 needs none, but some versions
    ask for it all the same.
    """
    taps = math.prod(op.weight.shape[1:])
    shifts = 4 * len(op.weight)
    if op.groups == 1:
        return shifts + 2 * 2 * _four(taps)
    weights = taps * len(op.weight)
    return shifts + _four(weights) + (0 if max(op.dilation) > 1 else 2 * weights)


def _four(count: int) -> int:
    return -(-count // 4) * 4
