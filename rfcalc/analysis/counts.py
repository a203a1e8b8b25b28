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

_LEFT_OUT = frozenset({Kind.ATTENTION, Kind.SAMPLING, Kind.SPECTRUM, Kind.BILINEAR})


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
    memory = _memory(graph, states)
    in_float = _peak_elements(graph, memory, in_place=False)
    in_int8 = _peak_elements(graph, memory, in_place=True)
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


@dataclass(frozen=True)
class _Memory:
    """Tensors in memory over a run, by storage: views share that of their tensor.

    Attributes:
        sizes: Elements of each storage for one image.
        last: For each storage, the node that is the last to read or write it.
        made: For each node, the storages of what it puts out.
        ends: For each node, the storages that nothing uses after it.
        begin: Storage of the input.
    """

    sizes: Mapping[int, int]
    last: Mapping[int, int]
    made: Mapping[int, frozenset[int]]
    ends: Mapping[int, Sequence[int]]
    begin: int


def _memory(graph: Graph, states: Mapping[int, State]) -> _Memory:
    """Return when each tensor that depends on the input is made, and when it is used for the last time."""
    sizes: dict[int, int] = {}
    storage_of: dict[int, int] = {}
    for value in graph.values:
        if states[value.index].paths:
            storage = storage_of[value.index] = value.storage
            whole = graph.values[storage] if storage in storage_of else value
            sizes[storage] = max(sizes.get(storage, 0), prod(whole.shape) // graph.batch)
    last: dict[int, int] = {}
    made: dict[int, frozenset[int]] = {}
    for node in graph.nodes:
        fresh = frozenset(storage_of[v] for v in node.outputs if v in storage_of)
        if fresh:
            made[node.index] = fresh
        if node.op is write_view:
            continue
        for v in node.reads:
            if v in storage_of:
                last[storage_of[v]] = node.index
        for storage in fresh:
            last[storage] = node.index
    for v in graph.outputs.values():
        last[graph.values[v].storage] = len(graph.nodes)
    ends: dict[int, list[int]] = {}
    for storage, index in last.items():
        ends.setdefault(index, []).append(storage)
    return _Memory(sizes, last, made, ends, graph.values[graph.input].storage)


def _peak_elements(graph: Graph, memory: _Memory, *, in_place: bool) -> int:
    """Return the largest sum of elements alive: made, and still to be read.

    With `in_place`, an elementwise op takes over the memory of an operand that it is the last to read.
    """
    sizes = memory.sizes
    alive = {memory.begin}
    now = peak = sizes.get(memory.begin, 0)
    for node in graph.nodes:
        fresh = memory.made.get(node.index, frozenset()) - alive
        if in_place and len(fresh) == 1 and op_of(node).kind in _ELEMENTWISE:
            spent = _overwritten(graph, node, alive, memory.last, sizes, sizes[min(fresh)])
            alive -= spent
            now -= sum(sizes[storage] for storage in spent)
        if fresh:
            alive |= fresh
            now += sum(sizes[storage] for storage in fresh)
            peak = max(peak, now)
        for storage in memory.ends.get(node.index, ()):
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
