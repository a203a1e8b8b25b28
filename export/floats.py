"""The operators of `export.graph` in float32: what calibration observes, and what int8 is compared with."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from export.graph import Activation, Add, Concat, Convolution, Graph, Mean, Multiply, Node, Slice

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "gelu": F.gelu,
    "hardswish": F.hardswish,
    "sigmoid": torch.sigmoid,
}


def run(
    graph: Graph, images: Tensor, observe: Callable[[int, Tensor], None] = lambda value, x: None
) -> Tensor:
    """Compute the logits.

    Args:
        graph: The network.
        images: (N, C, H, W), normalised.
        observe: Called with every value as it is computed, the input (0) included.

    Returns:
        (N, classes)
    """
    last = {value: max(graph.users(value), default=-1) for value in range(len(graph.nodes) + 1)}
    values = {0: images}
    observe(0, images)
    with torch.inference_mode():
        for position, node in enumerate(graph.nodes):
            values[position + 1] = compute(node, [values[value] for value in node.inputs])
            observe(position + 1, values[position + 1])
            for value in node.inputs:
                if last[value] == position:
                    values.pop(value, None)
    return values[len(graph.nodes)].flatten(1)


def compute(node: Node, inputs: list[Tensor]) -> Tensor:
    """Return what a node computes of its inputs, (N, C, H, W) each."""
    x, op = inputs[0], node.op
    match op:
        case Convolution():
            weight, bias = torch.from_numpy(op.weight), torch.from_numpy(op.bias)
            return convolve(op, x, weight, bias, node.shape[1:])
        case Activation():
            return FUNCTIONS[op.kind](x)
        case Add():
            return x + inputs[1]
        case Multiply():
            return x * inputs[1]
        case Concat():
            return torch.cat(inputs, dim=1)
        case Slice():
            return x[:, op.start : op.stop]
        case Mean():
            return x.mean((2, 3), keepdim=True)


def convolve(op: Convolution, x: Tensor, weight: Tensor, bias: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return the convolution of (N, C, H, W) to maps of `size` (height, width).

    Args:
        op: Its stride, padding, dilation and groups.
        x: The input.
        weight: In the place of `op.weight`, of the same shape.
        bias: In the place of `op.bias`.
        size: Of the result.
    """
    if op.transposed:
        outputs, inputs, height, width = weight.shape
        weight = weight.reshape(op.groups, outputs // op.groups, inputs, height, width).transpose(1, 2)
        weight = weight.reshape(-1, outputs // op.groups, height, width)
        full = F.conv_transpose2d(x, weight, bias, op.stride, 0, 0, op.groups, op.dilation)
        # Rows beyond the taps, where there is output padding, hold the bias alone.
        (top, left), (rows, columns) = op.padding, size
        below, right = top + rows - full.shape[2], left + columns - full.shape[3]
        if below > 0 or right > 0:
            sizes = full.shape[2] + max(below, 0), full.shape[3] + max(right, 0)
            extra = bias.view(1, -1, 1, 1).expand(len(full), -1, *sizes).clone()
            extra[:, :, : full.shape[2], : full.shape[3]] = full
            full = extra
        return full[:, :, top : top + rows, left : left + columns]
    # Padded below and to the right by what the output's size needs.
    lengths = [
        (out - 1) * stride + dilation * (kernel - 1) + 1
        for out, stride, dilation, kernel in zip(size, op.stride, op.dilation, weight.shape[2:], strict=True)
    ]
    (top, left), (height, width) = op.padding, x.shape[2:]
    padded = F.pad(x, (left, lengths[1] - width - left, top, lengths[0] - height - top))
    return F.conv2d(padded, weight, bias, op.stride, 0, op.dilation, op.groups)
