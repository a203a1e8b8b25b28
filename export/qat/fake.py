"""A network that rounds as its int8 form does, in floating point, so that it can be trained on.

Each value is brought to the integers that the C code stores and back at once:

    fake(x) = (clamp(round(x / scale) + zero, low, high) - zero) * scale

The rounding has the derivative 0 almost everywhere. In the backward pass it is taken for the identity where
x lies within the bounds, and for 0 outside: the straight-through estimator of Bengio et al., "Estimating or
Propagating Gradients Through Stochastic Neurons for Conditional Computation" (2013), used for int8 by Jacob
et al. (2018). Norms are folded before, so that what is trained is what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from export.c.calibration import Stored
from export.c.quantise import weight_scales
from export.floats import compute, convolve
from export.graph import Activation, Convolution, Graph, Slice, fuses


class FakeQuantised(nn.Module):
    """Maps normalised images (N, 3, H, W) to logits (N, classes) with the roundings of int8.

    Args:
        network: The operators; their weights are the start.
        stored: How each value is stored, the input (0) first; it does not change with training.
    """

    def __init__(self, network: Graph, stored: Sequence[Stored]) -> None:
        super().__init__()
        self._network, self._stored = network, tuple(stored)
        convolutions = {
            str(position): node.op
            for position, node in enumerate(network.nodes)
            if isinstance(node.op, Convolution)
        }
        self.weight = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(op.weight)) for name, op in convolutions.items()}
        )
        self.bias = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(op.bias)) for name, op in convolutions.items()}
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.run(images)

    def run(self, images: Tensor, observe: Callable[[int, Tensor], None] = lambda value, x: None) -> Tensor:
        """Return the logits; `observe` gets every value as it is computed, the input (0) included."""
        values = {0: _fake(images, self._stored[0])}
        observe(0, values[0])
        for position, node in enumerate(self._network.nodes):
            inputs = [values[value] for value in node.inputs]
            values[position + 1] = self.step(position, inputs)
            observe(position + 1, values[position + 1])
        return values[len(self._network.nodes)].flatten(1)

    def step(self, position: int, inputs: list[Tensor]) -> Tensor:
        """Return what the node at a position computes of its inputs, (N, C, H, W) each."""
        node = self._network.nodes[position]
        if isinstance(node.op, Slice):
            return compute(node, inputs)
        if isinstance(node.op, Activation) and fuses(self._network, node.inputs[0]):
            return inputs[0]  # clamped by the step before
        kept = self._stored[position + 1]
        if not isinstance(node.op, Convolution):
            return _fake(compute(node, inputs), kept)
        scale = self._stored[node.inputs[0]].scale.scale
        weight, bias = _fake_weights(self.weight[str(position)], self.bias[str(position)], scale)
        return _fake(convolve(node.op, inputs[0], weight, bias, node.shape[1:]), kept)

    def graph(self) -> Graph:
        """Return the operators with the weights as they are now, on the CPU."""
        nodes = []
        for position, node in enumerate(self._network.nodes):
            op = node.op
            if isinstance(op, Convolution):
                weight, bias = self.weight[str(position)], self.bias[str(position)]
                op = replace(op, weight=weight.detach().cpu().numpy(), bias=bias.detach().cpu().numpy())
            nodes.append(replace(node, op=op))
        return Graph(self._network.input_shape, tuple(nodes))


def _fake(x: Tensor, kept: Stored) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(x, kept.scale.scale, kept.scale.zero, kept.low, kept.high)


def _fake_weights(weight: Tensor, bias: Tensor, input_scale: float) -> tuple[Tensor, Tensor]:
    """Return weights and biases as they are stored; both in float64 inside, as the quantiser computes.

    Nothing is cut off, since the largest weight gives the scale: the derivative is 1 everywhere.
    """
    scales = weight_scales(weight, bias, input_scale)
    by = scales[:, None, None, None]
    rounded = (torch.round(weight.detach().double() / by) * by).float()
    by = scales * input_scale
    shifted = (torch.round(bias.detach().double() / by) * by).float()
    return weight + (rounded - weight).detach(), bias + (shifted - bias).detach()
