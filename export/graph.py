"""A network as a list of the few operators that the C code has; values are float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Shape = tuple[int, int, int]
ACTIVATIONS = ("relu", "relu6", "silu", "gelu", "hardswish", "sigmoid")


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution, grouped, dilated or transposed; a linear layer is a 1x1 convolution of a 1x1 map."""

    weight: Floats
    """(outputs, inputs / groups, height, width), of a transposed one as well."""
    bias: Floats
    """(outputs,)"""
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    """Zeros above and to the left; what is below and to the right follows from the output's size."""
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    transposed: bool = False


@dataclass(frozen=True)
class Activation:
    """One of `ACTIVATIONS`, element by element."""

    kind: str


@dataclass(frozen=True)
class Add:
    """The sum of two maps of the same shape."""


@dataclass(frozen=True)
class Multiply:
    """The product of two maps; the second may be one number a channel, (C, 1, 1)."""


@dataclass(frozen=True)
class Concat:
    """Maps one behind the other, by channels."""


@dataclass(frozen=True)
class Slice:
    """Channels `start` to `stop`, without that."""

    start: int
    stop: int


@dataclass(frozen=True)
class Mean:
    """The mean of each channel over the whole map."""


Op = Convolution | Activation | Add | Multiply | Concat | Slice | Mean


@dataclass(frozen=True, eq=False)
class Node:
    """One operator; node i computes value i + 1, and value 0 is the network's input."""

    name: str
    """Path of the module that it comes from."""
    op: Op
    inputs: tuple[int, ...]
    shape: Shape
    """(channels, height, width) of what it computes."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A network; the last node's value is the logits, (classes, 1, 1)."""

    input_shape: Shape
    nodes: tuple[Node, ...]

    def shape(self, value: int) -> Shape:
        """Return the shape of a value."""
        return self.input_shape if value == 0 else self.nodes[value - 1].shape

    def users(self, value: int) -> list[int]:
        """Return the positions of the nodes that read a value."""
        return [position for position, node in enumerate(self.nodes) if value in node.inputs]


def fuses(network: Graph, value: int) -> bool:
    """Return whether a value is read by a ReLU alone that its own step can clamp for."""
    users = network.users(value)
    if value == 0 or len(users) != 1:
        return False
    op, before = network.nodes[users[0]].op, network.nodes[value - 1].op
    clamps = isinstance(op, Activation) and op.kind in ("relu", "relu6")
    return clamps and isinstance(before, Convolution | Add)
