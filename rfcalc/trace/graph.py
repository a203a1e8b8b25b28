"""Graph: one forward pass as data, op calls with their module paths; traces make it, rules read it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from rfcalc.trace.inputs import Input

__all__ = ["Ask", "Graph", "Node", "Ref", "Value", "outside", "write_view"]

# An op without a kernel and without a rule: whatever asks what it reads gets "unknown" for an answer.
torch.library.define("rfcalc::outside", "(Tensor[] left) -> Tensor")

outside = torch.ops.rfcalc.outside.default
"""Represent what happens to tensors between leaving PyTorch (`x.numpy()`) and coming back."""


def write_view() -> None:
    """Mark a node that puts a changed view back into the tensor that it is a view of.

    Its arguments: the tensor, the changed view, the view's op and that op's other arguments. Tracing adds it,
    so that the graph has no side effects.
    """


@dataclass(frozen=True)
class Ref:
    """Represent a tensor among a node's arguments: the value it reads, by number."""

    value: int


@dataclass(frozen=True)
class Value:
    """One tensor of the run.

    Attributes:
        index: Its number in `Graph.values`.
        shape: Whole shape, batch included.
        dtype: Its element type.
        producer: Number of the node that made it; None for the network's input, parameters and constants.
        parameter: Qualified name of the parameter or buffer that it is; None otherwise.
        constant: The tensor itself where its content does not depend on the input (parameters, literals).
        storage: Number of the memory that it lives in; views share it.
    """

    index: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    producer: int | None
    parameter: str | None
    constant: torch.Tensor | None = field(repr=False, compare=False)
    storage: int


@dataclass(frozen=True)
class Node:
    """One op call.

    Attributes:
        index: Its number in `Graph.nodes`: execution order.
        op: The overload that ran, e.g. `torch.ops.aten.convolution.default`; or `write_view`.
        args: Positional arguments, each tensor replaced by a `Ref`.
        kwargs: Keyword arguments, likewise.
        outputs: Numbers of the values it made; an in-place op gets a new number for the tensor it changes.
        reads: Numbers of the values among its arguments.
        path: Qualified name of the innermost module that was running, "" for the root.
        module: Class name of that module.
        call: How many times that module had been called by then, from 1.
    """

    index: int
    op: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[int, ...]
    reads: tuple[int, ...]
    path: str
    module: str
    call: int

    @cached_property
    def name(self) -> str:
        """The op without its namespace, overload and in-place underscore: "convolution", "relu"."""
        return str(getattr(self.op, "overloadpacket", self.op).__name__).rstrip("_")


@dataclass(frozen=True)
class Ask:
    """One value that forward() takes out of a tensor, to branch on or to compute with in Python.

    Attributes:
        place: Where: "model.py:12".
        answer: What forward() got: a truth value or a number.
        in_library: Whether a module of PyTorch asked, in whose code no other answer is possible.
    """

    place: str
    answer: bool | int | float
    in_library: bool = False


@dataclass(frozen=True)
class Graph:
    """One forward pass as data.

    Attributes:
        nodes: Op calls in execution order.
        values: Every tensor that takes part.
        input: Number of the input value that receptive fields are measured on.
        outputs: What forward() returned: name ("" for a lone tensor, "0", "out.aux", ...) -> value number.
        batch: Images in the batch that ran (counts are divided by it).
        input_size: (channels, *spatial) of `input`; integer tokens have one channel.
        given: Everything that forward() was called with, in order.
        inputs: Value number of each of them; `input` is the one whose receptive fields are asked for.
        names: Name of each of them: the parameter of forward().
        asks: Values that forward() took out of tensors that depend on the input, on weights or on chance.
        sized: Where ops ran whose output has a size that depends on such values: "model.py:12".
        left: Where the content of such tensors left PyTorch: `y.numpy()`, `y.tolist()`.
        drawn: Whether forward() drew random numbers that are none of PyTorch's.
        others: Runs that took another branch at one of `asks`, each with other ops.
        unexplored: Whether there may be further branches: time ran out, or a number has other values.
    """

    nodes: tuple[Node, ...]
    values: tuple[Value, ...]
    input: int
    outputs: dict[str, int]
    batch: int
    input_size: tuple[int, ...]
    given: tuple[Input, ...] = ()
    inputs: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    asks: tuple[Ask, ...] = ()
    sized: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    drawn: bool = False
    others: tuple[Graph, ...] = field(default=(), repr=False, compare=False)
    unexplored: bool = False

    def seen_from(self, number: int) -> Graph:
        """Return the same run with the receptive fields asked on another of its inputs.

        Args:
            number: Place among `inputs`, from 0.
        """
        return replace(self, input=self.inputs[number], input_size=self.given[number].size)

    def producer(self, value: int) -> Node | None:
        """Return the node that made a value; None for the input, parameters and constants."""
        index = self.values[value].producer
        return None if index is None else self.nodes[index]
