"""Call: one op call as a rule sees it, with helpers that say what the op reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import torch

from rfcalc.maps import geometry
from rfcalc.maps.indexmap import Reads
from rfcalc.maps.regroup import broadcast
from rfcalc.maps.state import State, constant
from rfcalc.trace.graph import Graph, Node, Ref, Value

__all__ = ["Call", "Rule", "spread_over"]


@lru_cache(maxsize=4096)
def _parameters(op: Any) -> tuple[tuple[str, bool, Any], ...]:
    """Return (name, has a default, default) of an op's arguments, from its schema."""
    schema = getattr(op, "_schema", None)
    if schema is None:
        return ()
    return tuple((a.name, a.has_default_value(), a.default_value) for a in schema.arguments)


@dataclass(frozen=True)
class Call:
    """One op call, for rules.

    A rule returns the `State` of the op's output, or a list of them for several outputs. Most are one line:

        @rfcalc.rule(torch.ops.mylib.blur)
        def blur(call):
            return call.window(kernel=3, padding=1)

    Attributes:
        node: The call.
        graph: The run that it belongs to.
        states: State of every value so far, by number.
    """

    node: Node
    graph: Graph
    states: Mapping[int, State]

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The op's arguments by name, defaults filled in; a tensor is a `Ref`."""
        bound = {}
        for i, (name, has_default, default) in enumerate(_parameters(self.node.op)):
            if i < len(self.node.args):
                bound[name] = self.node.args[i]
            elif name in self.node.kwargs:
                bound[name] = self.node.kwargs[name]
            elif has_default:
                bound[name] = default
        return bound

    def state(self, ref: Ref | Any) -> State:
        """Return the state of an argument; None and numbers have the state of a constant."""
        return self.states[ref.value] if isinstance(ref, Ref) else constant(())

    def value(self, ref: Ref) -> Value:
        """Return the value that an argument refers to."""
        return self.graph.values[ref.value]

    def content(self, ref: Ref | Any) -> torch.Tensor | None:
        """Return an argument's content where it does not depend on the input and is known."""
        return self.graph.values[ref.value].constant if isinstance(ref, Ref) else None

    @cached_property
    def inputs(self) -> list[State]:
        """States of all tensors that the op reads, in argument order."""
        return [self.states[value] for value in self.node.reads]

    @cached_property
    def x(self) -> State:
        """State of the first tensor argument."""
        return self.inputs[0] if self.inputs else constant(())

    def shape(self, output: int = 0) -> tuple[int, ...]:
        """Return the shape of an output."""
        return self.graph.values[self.node.outputs[output]].shape

    def pointwise(self) -> State:
        """Each output element reads the same place of every operand, broadcasting included."""
        return broadcast(self.inputs, self.shape())

    def nothing(self) -> State:
        """The output does not depend on the input."""
        return constant(self.shape())

    def window(
        self,
        kernel: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        *,
        transposed: bool = False,
        x: State | None = None,
    ) -> State:
        """A window slides over the spatial dimensions (all after the second), as in a convolution."""
        state = self.x if x is None else x
        shape = self.shape()
        axes = len(shape) - 2 if isinstance(kernel, int) else len(kernel)
        settings = [spread_over(v, axes) for v in (kernel, stride, padding, dilation)]
        make = geometry.transposed if transposed else geometry.window
        for axis, (k, s, p, d) in enumerate(zip(*settings, strict=True)):
            dim = len(shape) - axes + axis
            state = state.along(dim, make(state.shape[dim], shape[dim], k, s, p, d))
        return state

    def along(self, dim: int, reads: Reads) -> State:
        """The op reads `reads` along one dimension."""
        return self.x.along(dim % len(self.x.dims), reads)

    def mixing(self, dims: Sequence[int], *, keepdim: bool = False) -> State:
        """The op mixes all of some dimensions into one element; they vanish, or stay with length 1."""
        rank = len(self.x.dims)
        gone = {d % rank for d in dims} if rank else set()
        state = self.x.reduced(sorted(gone))
        if keepdim:
            return state
        return replace(state, dims=tuple(dim for d, dim in enumerate(state.dims) if d not in gone))

    def normalising(self, dims: Sequence[int], x: State | None = None) -> State:
        """Each element reads itself and, through a statistic, all of some dimensions: a norm, a softmax."""
        state = self.x if x is None else x
        rank = len(state.dims)
        statistic = state.reduced(sorted({d % rank for d in dims}))
        return broadcast([state, statistic], state.shape, branches=False)

    def whole(self, *flags: str) -> State:
        """Every output element may read all of every input: an upper bound."""
        states = [constant(self.shape())]
        for state in self.inputs:
            reduced = state.reduced(range(len(state.dims)))
            states.append(replace(reduced, dims=()))
        return broadcast(states, self.shape()).flagged(*flags)


Rule = Callable[[Call], State | Sequence[State]]


def spread_over(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """Return a setting for each axis: one number is used for all."""
    if isinstance(value, int):
        return (value,) * axes
    return tuple(value) * axes if len(value) == 1 else tuple(value)
