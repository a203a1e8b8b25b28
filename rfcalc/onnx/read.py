"""An ONNX file from a stranger to a graph that is known to be small, flat and of standard operators.

Weights in other files are never opened: their shapes are in the graph, and nothing here depends on their
values. So a file without its weights is analysed like one with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rfcalc.errors import LoadError
from rfcalc.trace.inputs import Input

MAX_BYTES = 2**31
"""Of a file: no larger one is a valid protobuf message."""
MAX_ELEMENTS = 2**30
"""Of all weights together: 4 GiB as float32."""
MAX_NODES = 100_000
_STANDARD = ("", "ai.onnx")
_ASIDE = {"com.microsoft": {"QuantizeLinear", "DequantizeLinear", "Gelu", "QuickGelu"}}
"""Operators of other domains that are as known as standard ones."""
_INSIDE = ("Loop", "If", "Scan", "SequenceMap")


@dataclass(frozen=True)
class Model:
    """A graph that may be run."""

    graph: Any
    """GraphProto."""
    name: str
    inputs: tuple[Input, ...]
    """Empty where the file leaves a length open."""
    channels_last: bool
    """Whether the only input is (N, H, W, C) and is transposed before anything else."""


def read(path: Path) -> Model:
    """Read a file; nothing of it is run, and no other file is opened.

    Args:
        path: An .onnx file.

    Raises:
        LoadError: onnx is not installed, or the file is no ONNX model, too large, or has loops, functions or
            operators of its own; the message names what and where.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise LoadError(f"{path}: onnx is not installed, which reads it; pip install onnx") from error
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise LoadError(f"{path} has {size:,} bytes, more than the {MAX_BYTES:,} of any ONNX file")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError, OSError) as error:
        raise LoadError(f"{path} is no ONNX model: {error or 'it cannot be decoded'}") from error
    graph = model.graph
    if not graph.node or not graph.output:
        raise LoadError(f"{path} is no ONNX model: its graph has no operators")
    if model.functions:
        raise LoadError(
            f"{path} defines functions of its own ({model.functions[0].name}, ...); export it with them "
            "inlined (onnx.inliner.inline_local_functions)"
        )
    _check(path, graph)
    inputs = _inputs(graph)
    last = _is_channels_last(graph)
    if last and inputs:
        height, width, channels = inputs[0].shape
        inputs = (Input((channels, height, width)),)
    return Model(graph, _name(graph, path), inputs, last)


def elements(tensor: Any) -> int:
    """Return how many numbers a TensorProto has, by its shape."""
    return math.prod(tensor.dims)


def _check(path: Path, graph: Any) -> None:
    if len(graph.node) > MAX_NODES:
        raise LoadError(f"{path} has {len(graph.node):,} operators, more than {MAX_NODES:,}")
    if graph.sparse_initializer:
        raise LoadError(f"{path}: sparse weights ({graph.sparse_initializer[0].values.name}) are not read")
    for tensor in graph.initializer:
        if any(length < 0 for length in tensor.dims):
            raise LoadError(f"{path}: weight {tensor.name!r} has a negative length")
    total = sum(elements(tensor) for tensor in graph.initializer)
    if total > MAX_ELEMENTS:
        raise LoadError(f"{path}: {total:,} weights, more than the {MAX_ELEMENTS:,} that are read")
    known = {"", *(each.name for each in graph.input), *(each.name for each in graph.initializer)}
    for node in graph.node:
        place = f"{path}: {node.op_type} {node.name or node.output[0] if node.output else ''!r}"
        if node.op_type in _INSIDE:
            raise LoadError(
                f"{place} runs a graph of its own, whose field depends on the data; unroll it first"
            )
        if node.domain not in _STANDARD and node.op_type not in _ASIDE.get(node.domain, ()):
            raise LoadError(f"{place} is an operator of the domain {node.domain!r}, which is not ONNX's own")
        for name in node.input:
            if name not in known:
                raise LoadError(f"{place} reads {name!r}, which nothing before it computes")
        known.update(node.output)
    for each in graph.output:
        if each.name not in known:
            raise LoadError(f"{path}: nothing computes the output {each.name!r}")


def _given(graph: Any) -> list[Any]:
    """Return the inputs that are no weights: before IR version 4 every weight was an input as well."""
    weights = {tensor.name for tensor in graph.initializer}
    return [each for each in graph.input if each.name not in weights]


def _inputs(graph: Any) -> tuple[Input, ...]:
    found = []
    for each in _given(graph):
        lengths = [dimension.dim_value for dimension in each.type.tensor_type.shape.dim]
        if len(lengths) < 2 or not all(length > 0 for length in lengths[1:]):
            return ()
        found.append(Input(tuple(lengths[1:])))
    return tuple(found)


def _is_channels_last(graph: Any) -> bool:
    given = _given(graph)
    if len(given) != 1:
        return False
    readers = [node for node in graph.node if given[0].name in node.input]
    if len(readers) != 1 or readers[0].op_type != "Transpose":
        return False
    return any(each.name == "perm" and list(each.ints) == [0, 3, 1, 2] for each in readers[0].attribute)


def _name(graph: Any, path: Path) -> str:
    # PyTorch calls every graph main_graph.
    return path.stem if graph.name in ("", "main_graph", "torch_jit") else str(graph.name)
