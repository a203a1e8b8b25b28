"""Multiply-accumulates and activation memory, read from a Graph.

Conventions (docs/conventions.md): MACs are those of convolutions (by output positions), transposed
convolutions (by input positions), linear layers (products with a matrix that does not depend on the input)
and recurrent layers, for one image, biases left out: for the first three half of what
`torch.utils.flop_counter` reports. What the convention leaves out is kept beside them. Memory is float32, one
image.
"""

from __future__ import annotations

from collections import Counter
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
_LEFT_OUT = frozenset({Kind.ATTENTION, Kind.SAMPLING, Kind.SPECTRUM})


@dataclass(frozen=True)
class Counts:
    """What a run costs.

    Attributes:
        macs: For each node, multiply-accumulates for one image.
        uncounted: Those that `macs` leaves out, by what does them.
        peak_activation_bytes: Largest sum of tensors alive at once.
    """

    macs: Mapping[int, int]
    uncounted: Mapping[str, int]
    peak_activation_bytes: int


def count(graph: Graph, states: Mapping[int, State], *, count_all: bool = False) -> Counts:
    """Count one run.

    Args:
        graph: The run.
        states: State of every value; tells weights from activations.
        count_all: Whether to count what the convention leaves out, too.
    """
    macs: dict[int, int] = {}
    uncounted: Counter[str] = Counter()
    for node in graph.nodes:
        op = op_of(node)
        if op.macs is None or not node.outputs:
            continue
        call = Call(node, graph, states)
        number = op.macs(call) // graph.batch
        on_input = any(states[v].paths for v in node.reads)
        if count_all or (on_input and _is_counted(op, call)):
            macs[node.index] = number
        elif number:
            uncounted[node.name if on_input else f"{node.name} on constants"] += number
    return Counts(macs, dict(uncounted), _peak_bytes(graph, states))


def _is_counted(op: Op, call: Call) -> bool:
    """Return whether the convention counts a call on the input: layers of weights, and what users teach."""
    if op.kind is Kind.PRODUCT:
        return not all(call.states[ref.value].paths for ref in factors(call))
    return op.kind not in _LEFT_OUT


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
