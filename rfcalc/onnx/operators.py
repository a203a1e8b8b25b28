"""What each ONNX operator is in PyTorch: one line an operator, in `OPERATORS`.

An operator gets its inputs (tensors, or None where one is left out) and its attributes. Inputs that are
shapes, axes or scales are NumPy arrays: `module` computes them beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rfcalc.onnx.windows import (
    Attributes,
    Inputs,
    UnknownOperatorError,
    average_pool,
    axes_of,
    convolution,
    ints,
    max_pool,
    pad,
    resize,
    transposed,
)

Operator = Callable[[Inputs, Attributes], Any]


def _global(pool: Callable[..., Tensor]) -> Operator:
    return lambda inputs, a: pool(inputs[0], tuple(range(2, inputs[0].ndim)), keepdim=True)


def _batch_norm(inputs: Inputs, a: Attributes) -> Tensor:
    x, weight, bias, mean, variance = inputs[:5]
    return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, a.get("epsilon", 1e-5))


def _layer_norm(inputs: Inputs, a: Attributes) -> Tensor:
    x, weight, bias = (*inputs, None)[:3]
    axis = a.get("axis", -1) % x.ndim
    return F.layer_norm(x, list(x.shape[axis:]), weight, bias, a.get("epsilon", 1e-5))


def _gemm(inputs: Inputs, a: Attributes) -> Tensor:
    x, weight, bias = (*inputs, None)[:3]
    x = x.T if a.get("transA", 0) else x
    weight = weight if a.get("transB", 0) else weight.T
    plain = a.get("alpha", 1.0) == 1.0 and a.get("beta", 1.0) == 1.0
    if not plain:
        raise UnknownOperatorError("alpha or beta other than 1")
    return F.linear(x, weight, bias)


def _clip(inputs: Inputs, a: Attributes) -> Tensor:
    x, low, high = (*inputs, None, None)[:3]
    low, high = (a.get("min", low), a.get("max", high))
    bounds = [None if bound is None else float(bound) for bound in (low, high)]
    return F.relu6(x) if bounds == [0.0, 6.0] else torch.clamp(x, *bounds)


def _reduce(function: Callable[..., Tensor]) -> Operator:
    def operator(inputs: Inputs, a: Attributes) -> Tensor:
        axes = axes_of(inputs, a)
        if axes is None:
            axes = [] if a.get("noop_with_empty_axes", 0) else list(range(inputs[0].ndim))
        return function(inputs[0], axes, keepdim=bool(a.get("keepdims", 1))) if axes else inputs[0]

    return operator


def _reshape(inputs: Inputs, a: Attributes) -> Tensor:
    x: Tensor = inputs[0]
    shape = [
        x.shape[axis] if length == 0 and not a.get("allowzero", 0) else length
        for axis, length in enumerate(ints(inputs[1]))
    ]
    return x.reshape(shape)


def _flatten(inputs: Inputs, a: Attributes) -> Tensor:
    axis = a.get("axis", 1) % (inputs[0].ndim + 1)
    x: Tensor = inputs[0]
    return x.flatten(1) if axis == 1 else x.reshape(int(torch.Size(x.shape[:axis]).numel()), -1)


def _squeeze(inputs: Inputs, a: Attributes) -> Tensor:
    axes = axes_of(inputs, a)
    return inputs[0].squeeze() if axes is None else inputs[0].squeeze(axes)  # type: ignore[no-any-return]


def _unsqueeze(inputs: Inputs, a: Attributes) -> Tensor:
    x, axes = inputs[0], axes_of(inputs, a) or []
    for axis in sorted(each % (x.ndim + len(axes)) for each in axes):
        x = x.unsqueeze(axis)
    return x  # type: ignore[no-any-return]


def _split(inputs: Inputs, a: Attributes) -> Sequence[Tensor]:
    x, axis = inputs[0], a.get("axis", 0)
    sizes = a.get("split", inputs[1] if len(inputs) > 1 else None)
    if sizes is not None:
        return torch.split(x, ints(sizes), axis)
    count = a.get("num_outputs") or a["outputs"]
    return torch.split(x, -(-x.shape[axis] // count), axis)


def _split_to_sequence(inputs: Inputs, a: Attributes) -> list[Any]:
    """Return the parts as one value: a list of lists, since the outer one is the outputs."""
    x, sizes = (*inputs, None)[:2]
    axis = a.get("axis", 0)
    lengths = x.shape[axis] if sizes is None else int(sizes) if sizes.ndim == 0 else ints(sizes)
    return [list(torch.split(x, 1 if sizes is None else lengths, axis))]


def _slice(inputs: Inputs, a: Attributes) -> Tensor:
    x = inputs[0]
    if "starts" in a:
        starts, ends, axes, steps = a["starts"], a["ends"], a.get("axes"), None
    else:
        starts, ends, axes, steps = (*inputs[1:], None, None)[:4]
    starts, ends = ints(starts), ints(ends)
    axes = list(range(len(starts))) if axes is None else ints(axes)
    steps = [1] * len(starts) if steps is None else ints(steps)
    where = [slice(None)] * x.ndim
    flipped = []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 0:
            if step != -1 or start not in (-1, x.shape[axis] - 1) or end > -x.shape[axis]:
                raise UnknownOperatorError("a slice backwards that is no flip")
            flipped.append(axis)
        else:
            where[axis] = slice(start, end, step)
    x = x[tuple(where)]
    return x.flip(flipped) if flipped else x  # type: ignore[no-any-return]


def _gather(inputs: Inputs, a: Attributes) -> Tensor:
    x, indices = inputs
    axis = a.get("axis", 0)
    if isinstance(indices, Tensor) and isinstance(x, Tensor):
        if x.ndim == 2 and axis == 0:
            return F.embedding(indices, x)
        return x.index_select(axis, indices.flatten())
    if indices.ndim == 0:
        return x.select(axis, int(indices))  # type: ignore[no-any-return]
    raise UnknownOperatorError("a gather of several places")


def _depth_to_space(inputs: Inputs, a: Attributes) -> Tensor:
    if a.get("mode", b"DCR") == b"CRD":
        return F.pixel_shuffle(inputs[0], a["blocksize"])
    x, block = inputs[0], a["blocksize"]
    n, channels, height, width = x.shape
    x = x.reshape(n, block, block, channels // block**2, height, width).permute(0, 3, 4, 1, 5, 2)
    found: Tensor = x.reshape(n, channels // block**2, height * block, width * block)
    return found


def _binary(function: Callable[[Any, Any], Any]) -> Operator:
    return lambda inputs, a: function(inputs[0], inputs[1])


def _unary(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda inputs, a: function(inputs[0])


def _several(function: Callable[[Any, Any], Any]) -> Operator:
    def operator(inputs: Inputs, a: Attributes) -> Any:
        total = inputs[0]
        for each in inputs[1:]:
            total = function(total, each)
        return total

    return operator


def _same(inputs: Inputs, a: Attributes) -> Any:
    return inputs[0]


def _cast(inputs: Inputs, a: Attributes) -> Any:
    floats = {1: torch.float32, 10: torch.float16, 11: torch.float64, 16: torch.bfloat16}
    kind = floats.get(a.get("to", 1))
    return inputs[0].to(kind) if kind is not None and inputs[0].is_floating_point() else inputs[0]


OPERATORS: dict[str, Operator] = {
    "Conv": convolution,
    "ConvTranspose": transposed,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": _global(torch.mean),
    "GlobalMaxPool": _global(torch.amax),
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": lambda i, a: F.instance_norm(
        i[0], None, None, i[1], i[2], eps=a.get("epsilon", 1e-5)
    ),
    "LayerNormalization": _layer_norm,
    "GroupNormalization": lambda i, a: F.group_norm(
        i[0], a["num_groups"], i[1], i[2], a.get("epsilon", 1e-5)
    ),
    "LRN": lambda i, a: F.local_response_norm(
        i[0], a["size"], a.get("alpha", 1e-4), a.get("beta", 0.75), a.get("bias", 1.0)
    ),
    "Gemm": _gemm,
    "MatMul": _binary(torch.matmul),
    "Add": _binary(torch.add),
    "Sub": _binary(torch.sub),
    "Mul": _binary(torch.mul),
    "Div": _binary(torch.div),
    "Pow": _binary(torch.pow),
    "Sum": _several(torch.add),
    "Max": _several(torch.maximum),
    "Min": _several(torch.minimum),
    "Relu": _unary(F.relu),
    "LeakyRelu": lambda i, a: F.leaky_relu(i[0], a.get("alpha", 0.01)),
    "PRelu": lambda i, a: F.prelu(i[0], i[1].flatten()),
    "Elu": lambda i, a: F.elu(i[0], a.get("alpha", 1.0)),
    "Selu": _unary(F.selu),
    "Gelu": _unary(F.gelu),
    "Clip": _clip,
    "Sigmoid": _unary(torch.sigmoid),
    "HardSigmoid": _unary(F.hardsigmoid),
    "HardSwish": _unary(F.hardswish),
    "Mish": _unary(F.mish),
    "Tanh": _unary(torch.tanh),
    "Softplus": _unary(F.softplus),
    "Erf": _unary(torch.erf),
    "Sqrt": _unary(torch.sqrt),
    "Exp": _unary(torch.exp),
    "Log": _unary(torch.log),
    "Abs": _unary(torch.abs),
    "Neg": _unary(torch.neg),
    "Reciprocal": _unary(torch.reciprocal),
    "Softmax": lambda i, a: F.softmax(i[0], a.get("axis", -1)),
    "LogSoftmax": lambda i, a: F.log_softmax(i[0], a.get("axis", -1)),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMin": _reduce(torch.amin),
    "Concat": lambda i, a: torch.cat(list(i), a["axis"]),
    "Split": _split,
    "SplitToSequence": _split_to_sequence,
    "SequenceAt": lambda i, a: i[0][int(i[1])],
    "Slice": _slice,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": lambda i, a: i[0].permute(a.get("perm", list(reversed(range(i[0].ndim))))),
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Expand": lambda i, a: i[0] * torch.ones(ints(i[1])),
    "Tile": lambda i, a: i[0].repeat(ints(i[1])),
    "Pad": pad,
    "Resize": resize,
    "Upsample": resize,
    "Gather": _gather,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": lambda i, a: F.pixel_unshuffle(i[0], a["blocksize"]),
    "Identity": _same,
    "Dropout": _same,
    "Cast": _cast,
    "CastLike": _same,
    # Int8 files: what is computed between the two is the network itself.
    "QuantizeLinear": _same,
    "DequantizeLinear": _same,
}
"""ONNX's own names, opsets 7 to 23."""
