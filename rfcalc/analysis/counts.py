"""Multiply-accumulates and activation memory, read from a Graph.

Conventions (docs/conventions.md): MACs are those of convolutions (by output positions), transposed
convolutions (by input positions), linear layers (products with a matrix that does not depend on the input)
and recurrent layers, for one image, biases left out: for the first three half of what
`torch.utils.flop_counter` reports. What the convention leaves out is kept beside them. Memory is float32, one
image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from rfcalc.maps.state import State
from rfcalc.ops.call import Call
from rfcalc.ops.cost import factors
from rfcalc.ops.lookup import op_of
from rfcalc.ops.op import Kind, Op
from rfcalc.trace.graph import Graph, Node, write_view

__all__ = ["Counts", "count", "weight_bytes"]

BYTES = {"float32": 4, "float16": 2, "int8": 1}
_ELEMENTWISE = frozenset({Kind.ACTIVATION, Kind.NORM, Kind.DROPOUT})
"""Families whose ops, products and sums of maps included, compute each element of its own place."""

_LEFT_OUT = frozenset({Kind.ATTENTION, Kind.SAMPLING, Kind.SPECTRUM})


@dataclass(frozen=True)
class Counts:
    """What a run costs.

    Attributes:
        macs: For each node, multiply-accumulates for one image.
        uncounted: Those that `macs` leaves out, by what does them.
        peak_bytes: Largest sum of tensors alive at once, by element type; in int8 elementwise ops write over
            an operand that nothing else reads.
    """

    macs: Mapping[int, int]
    uncounted: Mapping[str, int]
    peak_bytes: Mapping[str, int]


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
    in_float = _peak_elements(graph, states, in_place=False)
    in_int8 = _peak_elements(graph, states, in_place=True)
    peaks = {dtype: width * (in_int8 if dtype == "int8" else in_float) for dtype, width in BYTES.items()}
    return Counts(macs, dict(uncounted), peaks)


def weight_bytes(shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    """Return the bytes of parameters by element type.

    In int8 a weight of two axes or more takes a byte an element, every other parameter four (biases are
    int32). Norms count as they are, so that the number is an upper bound for a runtime that folds them.

    Args:
        shapes: Shape of every unique parameter.
    """
    elements = sum(map(prod, shapes))
    matrices = sum(prod(shape) for shape in shapes if len(shape) > 1)
    return {"float32": 4 * elements, "float16": 2 * elements, "int8": matrices + 4 * (elements - matrices)}


def _is_counted(op: Op, call: Call) -> bool:
    """Return whether the convention counts a call on the input: layers of weights, and what users teach."""
    if op.kind is Kind.PRODUCT:
        return not all(call.states[ref.value].paths for ref in factors(call))
    return op.kind not in _LEFT_OUT


def _peak_elements(graph: Graph, states: Mapping[int, State], *, in_place: bool) -> int:
    """Return the largest sum of elements alive: made, and still to be read; views share their tensor's.

    With `in_place`, an elementwise op takes over the memory of an operand that it is the last to read.
    """
    sizes: dict[int, int] = {}
    last: dict[int, int] = {}
    active: set[int] = set()
    for value in graph.values:
        if states[value.index].paths:
            active.add(value.index)
            elements = (
                prod(graph.values[value.storage].shape) if value.storage in active else prod(value.shape)
            )
            sizes[value.storage] = max(sizes.get(value.storage, 0), elements // graph.batch)
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
        fresh = {graph.values[v].storage for v in node.outputs if v in active} - alive
        if in_place and len(fresh) == 1 and op_of(node).kind in _ELEMENTWISE:
            spent = _overwritten(graph, node, alive, last, sizes, sizes[min(fresh)])
            alive -= spent
            now -= sum(sizes[storage] for storage in spent)
        alive |= fresh
        now += sum(sizes[storage] for storage in fresh)
        peak = max(peak, now)
        for storage in ends.get(node.index, ()):
            if storage in alive:
                alive.discard(storage)
                now -= sizes[storage]
    return peak


def _overwritten(
    graph: Graph, node: Node, alive: set[int], last: Mapping[int, int], sizes: Mapping[int, int], size: int
) -> set[int]:
    """Return the memory of one operand that an elementwise op may write its result over; {} for none."""
    operands = {graph.values[v].storage for v in node.reads}
    spent = [s for s in sorted(operands & alive) if last.get(s) == node.index and sizes[s] == size]
    return set(spent[:1])
