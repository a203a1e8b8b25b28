"""From a network in torch to its operators, norms folded.

torch.export gives the operators in the order of execution, whatever module they come from, so that published
networks and pretrained ones are read like those of the grammar.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import torch
from torch import fx

from export.errors import ExportError
from export.graph import (
    ACTIVATIONS,
    Activation,
    Add,
    Concat,
    Convolution,
    Floats,
    Graph,
    Mean,
    Multiply,
    Node,
    Op,
    Shape,
    Slice,
)
from export.subject import Subject


def lower(subject: Subject) -> Graph:
    """Return the network as operators.

    Raises:
        ExportError: It has an operator that is not among them; the text names it and its module.
    """
    example = torch.zeros(2, *subject.input_size)
    try:
        program = torch.export.export(subject.network, (example,))
    # torch.export raises errors of many modules.
    except Exception as error:
        first = str(error).strip().splitlines()[0]
        raise ExportError(f"{subject.name}: torch.export cannot follow its forward: {first}") from error
    return _Lowering(subject, program).graph()


class _Lowering:
    """Goes through the nodes of an exported program once.

    Args:
        subject: The network.
        program: What torch.export made of it.
    """

    def __init__(self, subject: Subject, program: torch.export.ExportedProgram) -> None:
        self._subject, self._program = subject, program
        self._nodes: list[Node] = []
        self._values: dict[fx.Node, int] = {}
        self._parts: dict[fx.Node, list[int]] = {}
        """Where each part of a split begins; the last number is where it ends."""
        self._padded: dict[fx.Node, tuple[int, int]] = {}
        """Zeros above and to the left that a convolution will take over."""
        signature = program.graph_signature
        self._tensors = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }

    def graph(self) -> Graph:
        users = set(self._program.graph_signature.user_inputs)
        for node in self._program.graph.nodes:
            if node.op == "placeholder" and node.name in users:
                self._values[node] = 0
            elif node.op == "call_function":
                self._lower(node)
            elif node.op == "output":
                (last,) = node.args[0]
                return self._finished(last)
        raise ExportError(f"{self._subject.name}: its forward returns nothing")

    def _finished(self, last: fx.Node) -> Graph:
        value = self._values.get(last, 0)
        if value != len(self._nodes):
            raise ExportError(f"{self._subject.name}: its last operator does not compute what it returns")
        graph = Graph(self._subject.input_size, tuple(self._nodes))
        if graph.shape(value) != (len(self._subject.classes), 1, 1):
            raise ExportError(
                f"{self._subject.name}: returns {graph.shape(value)}, not a score for each class"
            )
        return graph

    def _lower(self, node: fx.Node) -> None:
        name = str(node.target).removeprefix("aten.").partition(".")[0]
        if "getitem" in str(node.target):
            source, number = node.args
            bounds = self._parts[source]  # type: ignore[index]
            start, stop = bounds[int(number)], bounds[int(number) + 1]  # type: ignore[arg-type]
            self._append(node, Slice(start, stop), self._value(node, source))
            return
        handler = getattr(self, f"_{name.rstrip('_')}", None)
        if name.rstrip("_") in ACTIVATIONS:
            self._activate(node, name.rstrip("_"))
        elif handler is None:
            self._refuse(node, f"the operator {node.target}")
        else:
            handler(node)
        if name.endswith("_") and node in self._values:  # in place: whoever reads the input now reads this
            self._values[node.args[0]] = self._values[node]  # type: ignore[index]

    # Operators, by torch's name.

    def _conv2d(self, node: fx.Node) -> None:
        x, weight, bias, stride, padding, dilation, groups = _filled(
            node, (None, None, None, (1, 1), (0, 0), (1, 1), 1)
        )
        if isinstance(padding, str):
            self._refuse(node, f"padding {padding!r}", "give it in numbers")
        kernel = self._tensor(weight)
        top, left = self._padded.get(x, (0, 0))
        pads = _pair(padding)
        op = Convolution(
            kernel,
            self._bias(bias, len(kernel)),
            _pair(stride),
            (pads[0] + top, pads[1] + left),
            _pair(dilation),
            groups,
        )
        self._append(node, op, self._value(node, x, padded=True))

    def _conv_transpose2d(self, node: fx.Node) -> None:
        x, weight, bias, stride, padding, _, groups, dilation = _filled(
            node, (None, None, None, (1, 1), (0, 0), (0, 0), 1, (1, 1))
        )
        kernel = self._tensor(weight)  # (inputs, outputs / groups, height, width)
        inputs, share, height, width = kernel.shape
        kernel = kernel.reshape(groups, inputs // groups, share, height, width).swapaxes(1, 2)
        kernel = kernel.reshape(groups * share, inputs // groups, height, width)
        bias = self._bias(bias, len(kernel))
        op = Convolution(kernel, bias, _pair(stride), _pair(padding), _pair(dilation), groups, True)
        self._append(node, op, self._value(node, x))

    def _linear(self, node: fx.Node) -> None:
        x, weight, bias = _filled(node, (None, None, None))
        if x.meta["val"].ndim != 2:
            self._refuse(node, f"a linear layer on a map of {self._shape(x)}", "take a 1x1 convolution")
        kernel = self._tensor(weight)[:, :, None, None]
        self._append(node, Convolution(kernel, self._bias(bias, len(kernel))), self._value(node, x))

    def _batch_norm(self, node: fx.Node) -> None:
        """Fold a norm into the convolution before it; where there is none, it is a depthwise 1x1."""
        x, weight, bias, mean, variance, _, _, epsilon = node.args[:8]
        deviation = np.sqrt(self._tensor(variance).astype(np.float64) + float(epsilon))  # type: ignore[arg-type]
        channels = len(deviation)
        gain = 1.0 if weight is None else self._tensor(weight).astype(np.float64)
        scale = gain / deviation
        shift = self._bias(bias, channels) - self._tensor(mean) * scale
        (value,) = self._value(node, x)
        before = self._nodes[value - 1] if value else None
        if before is not None and isinstance(before.op, Convolution) and self._read_once(x, value):
            op = before.op
            folded = replace(
                op,
                weight=(op.weight * scale[:, None, None, None]).astype(np.float32),
                bias=(op.bias * scale + shift).astype(np.float32),
            )
            self._nodes[value - 1] = replace(before, op=folded)
            self._values[node] = value
            return
        kernel = np.broadcast_to(scale, (channels,)).astype(np.float32)[:, None, None, None]
        self._append(node, Convolution(kernel, shift.astype(np.float32), groups=channels), (value,))

    def _hardtanh(self, node: fx.Node) -> None:
        _, low, high = _filled(node, (None, -1.0, 1.0))
        if (low, high) != (0.0, 6.0):
            self._refuse(node, f"a hardtanh from {low} to {high}", "ReLU6 goes from 0 to 6")
        self._activate(node, "relu6")

    def _add(self, node: fx.Node) -> None:
        a, b = self._two(node)
        if node.kwargs.get("alpha", 1) != 1 or self._shape(a) != self._shape(b):
            self._refuse(node, "a sum of maps of different shapes or weights")
        self._append(node, Add(), (*self._value(node, a), *self._value(node, b)))

    def _mul(self, node: fx.Node) -> None:
        a, b = self._two(node)
        if self._shape(a)[1:] == (1, 1):
            a, b = b, a
        if self._shape(b) not in (self._shape(a), (self._shape(a)[0], 1, 1)):
            self._refuse(node, "a product of maps of different shapes")
        self._append(node, Multiply(), (*self._value(node, a), *self._value(node, b)))

    def _cat(self, node: fx.Node) -> None:
        if _filled(node, (None, 0))[1] % node.meta["val"].ndim != 1:
            self._refuse(node, "a concatenation along another axis than the channels")
        self._append(node, Concat(), tuple(self._value(node, each)[0] for each in node.args[0]))  # type: ignore[union-attr]

    def _split(self, node: fx.Node) -> None:
        x, _, axis = _filled(node, (None, None, 0))
        if axis % x.meta["val"].ndim != 1:
            self._refuse(node, "a split along another axis than the channels")
        self._parts[node] = [0, *np.cumsum([part.shape[1] for part in node.meta["val"]]).tolist()]
        (self._values[node],) = self._value(node, x)

    _chunk = _split_with_sizes = _split

    def _mean(self, node: fx.Node) -> None:
        x, axes = _filled(node, (None, None))
        if axes is None or sorted(axis % x.meta["val"].ndim for axis in axes) != [2, 3]:
            self._refuse(node, f"a mean over {'everything' if axes is None else f'the axes {axes}'}")
        self._append(node, Mean(), self._value(node, node.args[0]))

    def _adaptive_avg_pool2d(self, node: fx.Node) -> None:
        if _pair(node.args[1]) != (1, 1):
            self._refuse(node, f"an average pooling to {node.args[1]}", "take the global one")
        self._append(node, Mean(), self._value(node, node.args[0]))

    def _avg_pool2d(self, node: fx.Node) -> None:
        x, size, _, padding, _, _, divisor = _filled(node, (None, None, None, 0, False, True, None))
        whole = _pair(size) == self._shape(x)[1:] and self._shape(node)[1:] == (1, 1)
        if not whole or _pair(padding) != (0, 0) or divisor is not None:
            self._refuse(node, f"an average pooling of {size}", "take one of the whole map")
        self._append(node, Mean(), self._value(node, x))

    def _flatten(self, node: fx.Node) -> None:
        if self._shape(node.args[0])[1:] != (1, 1):
            self._refuse(
                node, f"a flattened map of {self._shape(node.args[0])}", "take global average pooling"
            )
        self._pass(node)

    _view = _reshape = _squeeze = _flatten

    def _pass(self, node: fx.Node) -> None:
        (self._values[node],) = self._value(node, node.args[0])

    _dropout = _feature_dropout = _contiguous = _clone = _alias = _detach = _pass

    def _pad(self, node: fx.Node) -> None:
        x, sizes, mode, value = _filled(node, (None, None, "constant", None))
        convolutions = all("conv2d" in str(user.target) for user in node.users)
        if mode != "constant" or value not in (None, 0, 0.0) or len(sizes) > 4 or not convolutions:
            self._refuse(node, "a padding that is not zeros before a convolution")
        left, _, top, _ = (*sizes, 0, 0)[:4]
        if min(sizes) < 0:
            self._refuse(node, "a negative padding")
        self._padded[node] = (top, left)
        (self._values[node],) = self._value(node, x)

    # What they share.

    def _activate(self, node: fx.Node, kind: str) -> None:
        if node.kwargs.get("approximate", "none") != "none":
            self._refuse(node, f"GELU approximated by {node.kwargs['approximate']}")
        self._append(node, Activation(kind), self._value(node, node.args[0]))

    def _append(self, node: fx.Node, op: Op, inputs: tuple[int, ...]) -> None:
        shape = self._shape(node)
        self._nodes.append(Node(self._place(node), op, inputs, shape))
        self._values[node] = len(self._nodes)

    def _value(self, node: fx.Node, source: Any, *, padded: bool = False) -> tuple[int]:
        if source in self._padded and not padded:
            self._refuse(node, "a padding that is not zeros before a convolution")
        if source not in self._values:
            self._refuse(node, f"an input that is no map: {source}")
        return (self._values[source],)

    def _read_once(self, node: Any, value: int) -> bool:
        """Return whether the reader of `node` alone reads a value, which nodes before it may pass on."""
        while len(node.users) == 1:
            before = node.args[0]
            if self._values.get(before) != value:
                return True
            node = before
        return False

    def _two(self, node: fx.Node) -> tuple[fx.Node, fx.Node]:
        a, b = node.args[:2]
        if not isinstance(a, fx.Node) or not isinstance(b, fx.Node):
            self._refuse(node, f"{node.target} with a number")
        return a, b

    def _shape(self, node: Any) -> Shape:
        shape = tuple(node.meta["val"].shape)[1:]
        if len(shape) not in (1, 3):
            self._refuse(node, f"a tensor of {len(shape) + 1} axes")
        channels, height, width = (*shape, 1, 1)[:3]
        return int(channels), int(height), int(width)

    def _tensor(self, node: Any) -> Floats:
        if not isinstance(node, fx.Node) or node.name not in self._tensors:
            raise ExportError(
                f"{self._subject.name}: weights that are computed ({node}) cannot be exported to C"
            )
        name = self._tensors[node.name]
        found = self._program.state_dict.get(name)
        tensor = self._program.constants[name] if found is None else found
        return np.asarray(tensor.detach().numpy(), dtype=np.float32)

    def _bias(self, node: Any, channels: int) -> Floats:
        return np.zeros(channels, np.float32) if node is None else self._tensor(node)

    def _place(self, node: fx.Node) -> str:
        stack = node.meta.get("nn_module_stack") or {}
        return str(list(stack.values())[-1][0]) if stack else ""

    def _refuse(self, node: fx.Node, what: str, instead: str = "") -> NoReturn:
        place = self._place(node) or "the network itself"
        known = ", ".join(
            ("convolution, linear, batch norm, add, multiply, concat, split, global average", *ACTIVATIONS)
        )
        raise ExportError(
            f"{self._subject.name}: {place} has {what}, which the C code does not know; "
            f"{instead or f'it knows {known}'} (--to onnx,int8 takes the network as it is)"
        )


def _filled(node: fx.Node, defaults: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the positional arguments, with defaults for those that were left out."""
    return (*node.args, *defaults[len(node.args) :])[: len(defaults)]


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, last = value[0], value[-1]
    return int(first), int(last)
