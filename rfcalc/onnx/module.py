"""An ONNX graph as an `nn.Module`: its forward runs the operators one by one.

Weights get the names that PyTorch gave them ("layer1.0.conv1.weight" is a parameter of the module
"layer1.0.conv1"); other files' weights get those of their operators. What depends on shapes alone is computed
in NumPy, by onnx's own reference implementation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfcalc.errors import LoadError, wording
from rfcalc.onnx.operators import OPERATORS
from rfcalc.onnx.read import Model, elements
from rfcalc.onnx.windows import UnknownOperatorError

MAX_COMPUTED = 2**20
"""Numbers of an array that is computed from shapes, and of a constant that is read as such."""
_NORMALISING = ("Sub", "Add", "Mul", "Div")
_STATISTICS = (3, 4)
"""Inputs of BatchNormalization that are no parameters."""
_QUANTISING = ("QuantizeLinear", "DequantizeLinear")
_REDUCING = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")
_COMPUTED = frozenset(
    (
        *(
            "Constant",
            "ConstantOfShape",
            "Range",
            "Shape",
            "Size",
            "Cast",
            "CastLike",
            "Identity",
            *_QUANTISING,
        ),
        *("Add", "Sub", "Mul", "Div", "Mod", "Pow", "Sqrt", "Neg", "Abs", "Floor", "Ceil", "Min", "Max"),
        *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Not", "Where"),
        *(
            "Concat",
            "Gather",
            "Slice",
            "Squeeze",
            "Unsqueeze",
            "Reshape",
            "Transpose",
            "Expand",
            "ReduceProd",
        ),
    )
)
"""Operators that are computed where all their inputs are arrays."""
_TAKES_ARRAYS = frozenset(
    (
        *("Reshape", "Slice", "Pad", "Resize", "Upsample", "Expand", "Tile", "Squeeze", "Unsqueeze", "Split"),
        *("Clip", "Gather", "Cast", "CastLike", "SplitToSequence", "SequenceAt", *_REDUCING, *_QUANTISING),
    )
)
"""Operators whose constant inputs are shapes, axes, places, bounds or scales."""


class Step(nn.Module):
    """The weights of one layer, so that the rows of what is computed with them are named after it."""

    def forward(self, kind: str, attributes: Mapping[str, Any], *inputs: Any) -> Any:
        """Compute one operator; a linear layer may be several: Transpose, MatMul, Add."""
        return OPERATORS[kind](inputs, attributes)


class OnnxNetwork(nn.Module):
    """A network from an ONNX file.

    Args:
        model: What `rfcalc.onnx.read` returned.

    Raises:
        LoadError: An operator is unknown, or a shape is in another file.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        from onnx import helper

        self._graph, self._file = model.graph, model.name
        self._attributes = [
            {each.name: helper.get_attribute_value(each) for each in node.attribute}
            for node in model.graph.node
        ]
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._arrays: dict[str, Any] = {}
        """Constants, as NumPy arrays: shapes, axes, scales."""
        self._names: dict[str, tuple[str, str]] = {}
        """Weight to the module and the name that it has there."""
        self._inputs = [each.name for each in model.graph.input if each.name not in self._weights]
        self._raw = set(self._inputs)
        """The images, and what normalises them."""
        self._skipped: set[str] = set()
        """Values that are the input of their operator: a transposition of the image, the gate of a SiLU."""
        if model.channels_last:
            self._skipped = {node.output[0] for node in model.graph.node if self._inputs[0] in node.input}
            self._raw |= self._skipped
        self._gated = self._find_gated()
        self._steps: list[str] = [
            self._prepare(node, attributes, number)
            for number, (node, attributes) in enumerate(zip(model.graph.node, self._attributes, strict=True))
        ]

    def forward(self, *inputs: Tensor) -> Any:
        """Run the graph; images are (N, C, H, W) even where the file has the channels last."""
        values: dict[str, Any] = dict(self._arrays)
        values.update(zip(self._inputs, inputs, strict=True))
        for node, attributes, place in zip(self._graph.node, self._attributes, self._steps, strict=True):
            given = [self._value(name, values) for name in node.input]
            if node.output[0] in self._skipped:
                found = given[0]
            elif node.output[0] in self._gated:
                found = self._gated[node.output[0]](given[0])
            else:
                found = self._computed(node, attributes, given, place)
            outputs = found if isinstance(found, tuple | list) else [found]
            values.update(zip(node.output, outputs, strict=False))
        results = [values[each.name] for each in self._graph.output]
        return results[0] if len(results) == 1 else tuple(results)

    def _find_gated(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Find x * sigmoid(x), which is how ONNX writes SiLU, and the same with a hard sigmoid."""
        functions = {"Sigmoid": F.silu, "HardSigmoid": F.hardswish}
        gates = {node.output[0]: node for node in self._graph.node if node.op_type in functions}
        readers = Counter(name for node in self._graph.node for name in node.input)
        found: dict[str, Callable[[Tensor], Tensor]] = {}
        for node in self._graph.node:
            if node.op_type != "Mul":
                continue
            for first, second in (node.input, reversed(node.input)):
                gate = gates.get(second)
                if gate is not None and gate.input[0] == first and readers[second] == 1:
                    found[node.output[0]] = functions[gate.op_type]
                    self._skipped.add(second)
        return found

    def _value(self, name: str, values: Mapping[str, Any]) -> Any:
        if not name:
            return None
        if name in self._names:
            place, own = self._names[name]
            return getattr(self.get_submodule(place), own)
        return values[name]

    def _computed(self, node: Any, attributes: dict[str, Any], given: list[Any], place: str) -> Any:
        if node.op_type in ("Shape", "Size") and isinstance(given[0], Tensor):
            given = [np.empty(tuple(given[0].shape), np.bool_)]
        if not any(isinstance(each, Tensor | list) for each in given):
            return _by_reference(node, given)
        if node.op_type not in _TAKES_ARRAYS:
            given = [_as_tensor(each, given) for each in given]
        try:
            if place:
                return self.get_submodule(place)(node.op_type, attributes, *given)
            return OPERATORS[node.op_type](given, attributes)
        except UnknownOperatorError as error:
            raise LoadError(
                f"{self._file}: {node.op_type} {node.name!r} has {error}, which is not read"
            ) from error

    def _prepare(self, node: Any, attributes: dict[str, Any], number: int) -> str:
        """Give an operator its weights; return its module, "" where it has none."""
        name = f"{node.op_type} {node.name or node.output[0]!r}"
        if node.op_type not in OPERATORS and node.op_type not in _COMPUTED:
            known = "" if len(OPERATORS) > 200 else f"; {len(OPERATORS)} operators of networks for images are"
            raise LoadError(f"{self._file}: {name} is not read{known}")
        if node.op_type == "Split":
            attributes["outputs"] = len(node.output)
        owned = [
            (position, each)
            for position, each in enumerate(node.input)
            if each in self._weights and self._is_weight(self._weights[each], node, position)
        ]
        for each in node.input:
            placed = each in self._arrays or each in self._names or each in (weight for _, weight in owned)
            if each in self._weights and not placed:
                self._arrays[each] = self._array(self._weights[each])
        fresh = [(position, each) for position, each in owned if each not in self._names]
        if not fresh or node.op_type not in OPERATORS:
            return ""
        place = self._place(node, fresh[0][1], number)
        module = self._placed(place, Step())
        for position, each in fresh:
            own = re.sub(r"\W", "_", each.removeprefix(f"{place}.")) or f"weight_{position}"
            own = own if not hasattr(module, own) else f"weight_{position}"
            tensor = _filled(self._weights[each], each)
            if node.op_type == "BatchNormalization" and position in _STATISTICS:
                module.register_buffer(own, tensor.abs() + 0.5)
            else:
                module.register_parameter(own, nn.Parameter(tensor))
            self._names[each] = place, own
        return place

    def _is_weight(self, tensor: Any, node: Any, position: int) -> bool:
        """Return whether numbers are learned: floating-point, several, and no scale of a quantisation."""
        if node.op_type in _NORMALISING and any(each in self._raw for each in node.input):
            # Mean and deviation of the images, before anything is learned.
            self._raw.add(node.output[0])
            return False
        if node.op_type in _QUANTISING:
            # The weights of an int8 file are the integers that are dequantised.
            return position == 0 and elements(tensor) > 1
        floating = tensor.data_type in (1, 10, 11, 16)
        return floating and elements(tensor) > 1 and node.op_type not in ("Resize", "Upsample", "Clip", "Pad")

    def _array(self, tensor: Any) -> Any:
        from onnx import numpy_helper

        if tensor.data_location or tensor.external_data:
            raise LoadError(
                f"{self._file}: the numbers of {tensor.name!r}, which are no weights, are in another "
                "file; save the model with them inside"
            )
        if elements(tensor) > MAX_COMPUTED:
            raise LoadError(f"{self._file}: constant {tensor.name!r} has {elements(tensor):,} numbers")
        try:
            return numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise LoadError(
                f"{self._file}: constant {tensor.name!r} cannot be read: {wording(error)}"
            ) from error

    def _place(self, node: Any, weight: str, number: int) -> str:
        """Return the module's path: the weight's own, or the operator's name."""
        stem, dot, last = weight.rpartition(".")
        if dot and last.isidentifier() and all(stem.split(".")):
            return stem
        name = re.sub(r"\W", "_", node.name or f"{node.op_type}_{number}").strip("_")
        return name.lower() or f"step_{number}"

    def _placed(self, place: str, step: Step) -> nn.Module:
        """Put a step where its path says; a second one of the same path lies beside the first."""
        parent: nn.Module = self
        *above, last = place.split(".")
        for part in above:
            if part not in parent._modules:
                parent.add_module(part, nn.Module())
            parent = parent._modules[part] or parent
        if last not in parent._modules:
            parent.add_module(last, step)
        elif not isinstance(parent._modules[last], Step):
            for name, child in (parent._modules[last] or nn.Module()).named_children():
                step.add_module(name, child)
            parent._modules[last] = step
        found = parent._modules[last]
        assert found is not None
        return found


def _filled(tensor: Any, name: str) -> Tensor:
    """Return weights of the right shape; their values, which no count and no field depends on, are drawn."""
    generator = torch.Generator().manual_seed(sum(name.encode()))
    shape = list(tensor.dims)
    fan = max(1, int(np.prod(shape[1:])))
    drawn: Tensor = torch.randn(shape, generator=generator) / fan**0.5
    return drawn


def _as_tensor(value: Any, others: list[Any]) -> Any:
    like = next(each for each in others if isinstance(each, Tensor))
    return (
        value
        if value is None or isinstance(value, Tensor)
        else torch.as_tensor(np.array(value)).to(like.dtype)
    )


def _by_reference(node: Any, given: list[Any]) -> Any:
    """Compute an operator of arrays; a result that would be large is refused."""
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    if node.op_type not in _COMPUTED:
        raise LoadError(f"{node.op_type} {node.name!r} of constants is not read")
    if node.op_type == "Constant":
        value = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if "value" in value:
            return numpy_helper.to_array(value["value"])
        (single,) = value.values()
        return np.array(single)
    if (
        node.op_type in ("Expand", "ConstantOfShape")
        and np.prod(np.abs(np.array(given[-1], np.float64))) > MAX_COMPUTED
    ):
        raise LoadError(f"{node.op_type} {node.name!r} makes an array of more than {MAX_COMPUTED:,} numbers")
    if node.op_type == "Range" and abs((given[1] - given[0]) / given[2]) > MAX_COMPUTED:
        raise LoadError(f"Range {node.name!r} makes an array of more than {MAX_COMPUTED:,} numbers")
    feed = {name: each for name, each in zip(node.input, given, strict=True) if name}
    return list(ReferenceEvaluator(node).run(None, feed))
