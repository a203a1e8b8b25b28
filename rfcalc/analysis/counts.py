"""Parameters, multiply-accumulates and activation memory, read from a Graph.

Conventions (docs/conventions.md): MACs are those of convolutions (by output positions), transposed
convolutions (by input positions) and linear layers (products with a matrix that does not depend on the
input), for one image, biases left out: half of what `torch.utils.flop_counter` reports for them. Memory is
float32, one image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from rfcalc.maps.state import State
from rfcalc.ops.call import Call
from rfcalc.ops.cost import factors
from rfcalc.ops.lookup import op_of
from rfcalc.ops.op import Kind, Op
from rfcalc.trace.graph import Graph, write_view

__all__ = ["Counts", "count"]

BYTES = 4
_LEFT_OUT = frozenset({Kind.ATTENTION, Kind.RECURRENT, Kind.SAMPLING, Kind.SPECTRUM})


@dataclass(frozen=True)
class Counts:
    """What a run costs.

    Attributes:
        params: For each node, the elements of the parameters that it is the first to use.
        macs: For each node, multiply-accumulates for one image.
        peak_activation_bytes: Largest sum of tensors alive at once.
        uncounted: Names of ops with multiplications that `macs` leaves out.
    """

    params: Mapping[int, int]
    macs: Mapping[int, int]
    peak_activation_bytes: int
    uncounted: tuple[str, ...]


def count(graph: Graph, states: Mapping[int, State], parameters: frozenset[str]) -> Counts:
    """Count one run.

    Args:
        graph: The run.
        states: State of every value; tells weights from activations.
        parameters: Qualified names of the parameters (buffers are not counted).
    """
    macs = {}
    uncounted: dict[str, None] = {}
    for node in graph.nodes:
        op = op_of(node)
        if op.macs is None or not any(states[v].paths for v in node.reads):
            continue
        call = Call(node, graph, states)
        if is_counted(op, call):
            macs[node.index] = op.macs(call) // graph.batch
        else:
            uncounted[node.name] = None
    return Counts(_first_uses(graph, states, parameters), macs, _peak_bytes(graph, states), tuple(uncounted))


def is_counted(op: Op, call: Call) -> bool:
    """Return whether the convention counts a call: a layer of weights, and ops of users that have MACs."""
    if op.kind is Kind.PRODUCT:
        return not all(call.states[ref.value].paths for ref in factors(call))
    return op.kind not in _LEFT_OUT


def _first_uses(graph: Graph, states: Mapping[int, State], parameters: frozenset[str]) -> dict[int, int]:
    """Return params for each node that meets the input; weights may pass through ops of their own first."""
    carried: dict[int, frozenset[str]] = {}
    sizes: dict[str, int] = {}
    for value in graph.values:
        if value.parameter in parameters and value.parameter is not None:
            carried[value.index] = frozenset({value.parameter})
            sizes[value.parameter] = prod(value.shape)
    seen: set[str] = set()
    out: dict[int, int] = {}
    for node in graph.nodes:
        names = frozenset[str]().union(*(carried.get(v, frozenset()) for v in node.reads))
        if not names:
            continue
        if any(states[v].paths for v in node.outputs):
            fresh = names - seen
            seen |= fresh
            if fresh:
                out[node.index] = sum(sizes[name] for name in fresh)
        else:
            carried.update(dict.fromkeys(node.outputs, names))
    return out


def _peak_bytes(graph: Graph, states: Mapping[int, State]) -> int:
    """Return the largest sum of memory alive: made, and still to be read; views share their tensor's."""
    sizes: dict[int, int] = {}
    last: dict[int, int] = {}
    active: set[int] = set()
    for value in graph.values:
        if states[value.index].paths:
            active.add(value.index)
            elements = (
                prod(graph.values[value.storage].shape) if value.storage in active else prod(value.shape)
            )
            sizes[value.storage] = max(sizes.get(value.storage, 0), elements * BYTES // graph.batch)
    for node in graph.nodes:
        if node.op is write_view:
            continue
        for v in (*node.reads, *node.outputs):
            if v in active:
                last[graph.values[v].storage] = node.index
    for v in graph.outputs.values():
        last[graph.values[v].storage] = len(graph.nodes)
    alive = {graph.values[graph.input].storage}
    now = peak = sizes.get(graph.values[graph.input].storage, 0)
    ends: dict[int, list[int]] = {}
    for storage, index in last.items():
        ends.setdefault(index, []).append(storage)
    for node in graph.nodes:
        for v in node.outputs:
            storage = graph.values[v].storage
            if v in active and storage not in alive:
                alive.add(storage)
                now += sizes[storage]
        peak = max(peak, now)
        for storage in ends.get(node.index, ()):
            if storage in alive:
                alive.discard(storage)
                now -= sizes[storage]
    return peak
