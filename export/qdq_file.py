"""ONNX in int8 from operators whose scales are known: after `--qat`, onnxruntime must not choose them anew.

Every value is written as QuantizeLinear and DequantizeLinear around operators in float, the form that
runtimes merge into int8 kernels; weights and biases are stored as integers. ONNX rounds halves to even where
the C code rounds them up: on a tie the two are one step apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from export.c.arithmetic import Scale
from export.c.calibration import Stored
from export.c.quantise import weight_scales
from export.graph import Activation, Add, Concat, Convolution, Graph, Mean, Multiply, Node, Slice, fuses
from export.int8_file import left_in_float
from export.onnx_file import metadata
from export.subject import Subject


def write_qdq(
    subject: Subject,
    network: Graph,
    stored: Sequence[Stored],
    path: Path,
    *,
    raw: bool,
    opset: int,
) -> list[str]:
    """Write a network in int8.

    Args:
        subject: Where it is from: normalisation and metadata.
        network: The operators.
        stored: How each value is stored, the input (0) first.
        path: The file.
        raw: Leave the normalisation out.
        opset: Version of the operators.

    Returns:
        Operators that stay in float32, with their number.
    """
    import onnx

    writer = _Writer(network, stored)
    writer.write(None if raw else (subject.mean, subject.std))
    graph = onnx.helper.make_graph(
        writer.nodes,
        "main_graph",
        [_value("images", ("batch", *network.input_shape))],
        [_value("logits", ("batch", len(subject.classes)))],
        writer.weights,
    )
    versions = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(
        graph, opset_imports=versions, ir_version=onnx.helper.find_min_ir_version_for(versions)
    )
    onnx.helper.set_model_props(model, metadata(subject, raw=raw))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return left_in_float(model)


def _value(name: str, shape: Sequence[int | str]) -> Any:
    import onnx

    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


class _Writer:
    """Appends nodes and weights, value by value.

    Args:
        network: The operators.
        stored: How each value is stored.
    """

    def __init__(self, network: Graph, stored: Sequence[Stored]) -> None:
        self._network, self._stored = network, stored
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._names: dict[int, str] = {}
        """Value of the graph to the name of its dequantised form; of a value that a ReLU ends, as it is."""

    def write(self, normalisation: tuple[Sequence[float], Sequence[float]] | None) -> None:
        """Write everything; `normalisation` is mean and deviation, None: the input is normalised."""
        name = "images"
        if normalisation is not None:
            mean, std = (np.array(each, np.float32).reshape(1, 3, 1, 1) for each in normalisation)
            name = self._node("Sub", [name, self._weight("mean", mean)], "centred")
            name = self._node("Mul", [name, self._weight("scale", 1 / std)], "normalised")
        self._names[0] = self._stored_form(name, "input", self._stored[0].scale)
        last = len(self._network.nodes) - 1
        for position, node in enumerate(self._network.nodes):
            value, label = position + 1, f"{position}.{node.name}"
            name = self._compute(node, label)
            if position == last:
                self._node("Flatten", [name], "logits", axis=1)
            elif fuses(self._network, value):
                self._names[value] = name  # the ReLU comes first, so that both are merged into one kernel
            else:
                self._names[value] = self._stored_form(name, label, self._stored[value].scale)

    def _compute(self, node: Node, label: str) -> str:
        op, inputs = node.op, [self._names[value] for value in node.inputs]
        match op:
            case Convolution():
                return self._convolution(node, op, inputs[0], label)
            case Activation():
                return self._activation(op.kind, inputs[0], label)
            case Add():
                return self._node("Add", inputs, label)
            case Multiply():
                return self._node("Mul", inputs, label)
            case Concat():
                return self._node("Concat", inputs, label, axis=1)
            case Slice():
                bounds = [
                    self._weight(f"{label}.{which}", np.array([number], np.int64))
                    for which, number in (("start", op.start), ("stop", op.stop), ("axis", 1))
                ]
                return self._node("Slice", [*inputs, *bounds], label)
            case Mean():
                return self._node("GlobalAveragePool", inputs, label)

    def _activation(self, kind: str, x: str, label: str) -> str:
        match kind:
            case "relu":
                return self._node("Relu", [x], label)
            case "relu6":
                bounds = [self._weight(f"{label}.{at}", np.array(at, np.float32)) for at in (0, 6)]
                return self._node("Clip", [x, *bounds], label)
            case "hardswish":
                return self._node("HardSwish", [x], label)
            case "sigmoid":
                return self._node("Sigmoid", [x], label)
            case "silu":
                gate = self._node("Sigmoid", [x], f"{label}.gate")
                return self._node("Mul", [x, gate], label)
        # GELU, x * (1 + erf(x / sqrt(2))) / 2: the operator Gelu is of opset 20.
        half, root = (
            self._weight(f"{label}.{name}", np.array(number, np.float32))
            for name, number in (("half", 0.5), ("root", math.sqrt(0.5)))
        )
        one = self._weight(f"{label}.one", np.array(1, np.float32))
        inner = self._node("Erf", [self._node("Mul", [x, root], f"{label}.scaled")], f"{label}.erf")
        gate = self._node("Add", [inner, one], f"{label}.sum")
        return self._node("Mul", [self._node("Mul", [x, gate], f"{label}.twice"), half], label)

    def _convolution(self, node: Node, op: Convolution, x: str, label: str) -> str:
        first = self._stored[node.inputs[0]].scale.scale
        scales = weight_scales(torch.from_numpy(op.weight), torch.from_numpy(op.bias), first).numpy()
        integers = np.round(op.weight.astype(np.float64) / scales[:, None, None, None]).astype(np.int8)
        shifts = np.round(op.bias.astype(np.float64) / (first * scales)).astype(np.int32)
        bias = self._dequantised(f"{label}.bias", shifts, first * scales)
        common = {"strides": op.stride, "dilations": op.dilation, "group": op.groups}
        height, width = self._network.shape(node.inputs[0])[1:]
        if not op.transposed:
            below = [
                max(0, (out - 1) * stride + dilation * (kernel - 1) + 1 - length - before)
                for out, stride, dilation, kernel, length, before in zip(
                    node.shape[1:],
                    *(op.stride, op.dilation, op.weight.shape[2:], (height, width), op.padding),
                    strict=True,
                )
            ]
            weight = self._dequantised(f"{label}.weight", integers, scales)
            return self._node("Conv", [x, weight, bias], label, pads=[*op.padding, *below], **common)
        # No runtime has an int8 kernel for it, and scales by output channel do not fit ONNX's order of its
        # axes where there are groups: the weights are stored in float32, with the values of int8.
        numbers = (integers * scales[:, None, None, None]).astype(np.float32)
        outputs, inputs, *taps = numbers.shape
        numbers = numbers.reshape(op.groups, outputs // op.groups, inputs, *taps).swapaxes(1, 2)
        weight = self._weight(f"{label}.weight", numbers.reshape(-1, outputs // op.groups, *taps))
        over = [
            (length - 1) * stride + dilation * (kernel - 1) + 1 - before - out
            for out, stride, dilation, kernel, length, before in zip(
                node.shape[1:],
                *(op.stride, op.dilation, op.weight.shape[2:], (height, width), op.padding),
                strict=True,
            )
        ]
        return self._node(
            "ConvTranspose",
            [x, weight, bias],
            label,
            pads=[*op.padding, *(max(0, each) for each in over)],
            output_padding=[max(0, -each) for each in over],
            **common,
        )

    def _stored_form(self, name: str, label: str, scale: Scale) -> str:
        """Append the step to int8 and back; return the name of what comes back."""
        pair = [
            self._weight(f"{label}.scale_of_value", np.array(scale.scale, np.float32)),
            self._weight(f"{label}.zero", np.array(scale.zero, np.int8)),
        ]
        stored = self._node("QuantizeLinear", [name, *pair], f"{label}.int8")
        return self._node("DequantizeLinear", [stored, *pair], f"{label}.value")

    def _dequantised(self, name: str, integers: npt.NDArray[Any], scales: npt.NDArray[np.float64]) -> str:
        """Store integers with a scale for each entry of the first axis."""
        pair = [self._weight(name, integers), self._weight(f"{name}.scales", scales.astype(np.float32))]
        return self._node("DequantizeLinear", pair, f"{name}.value", axis=0)

    def _node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        import onnx

        self.nodes.append(onnx.helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def _weight(self, name: str, values: npt.NDArray[Any]) -> str:
        import onnx

        self.weights.append(onnx.numpy_helper.from_array(values, name))
        return name
