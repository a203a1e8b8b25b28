"""Depthwise-separable pairs: a depthwise convolution and the 1x1 convolution that reads its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rfcalc.ops.lookup import op_of
from rfcalc.ops.op import Kind
from rfcalc.ops.window import Window
from rfcalc.trace.graph import Graph, Node

__all__ = ["FOLDED", "SeparablePair", "pairs_of"]

FOLDED = frozenset({Kind.NORM, Kind.ACTIVATION, Kind.DROPOUT, Kind.COPY})
"""What a report folds into the layer before it, and what a separable pair may have in between."""

_BETWEEN = FOLDED | {Kind.LAYOUT}
"""A layer norm over channels is called between two permutations."""


@dataclass(frozen=True)
class SeparablePair:
    """A depthwise convolution and the 1x1 convolution that reads its result, by name."""

    depthwise: str
    pointwise: str


def pairs_of(
    graph: Graph, windows: Mapping[int, Window], maps: Mapping[int, tuple[int, ...]]
) -> list[tuple[Node, Node]]:
    """Each depthwise convolution with the first 1x1 convolution that reads it, in one pass over the run."""
    made_by: dict[int, int] = {}  # value -> the depthwise node that it is a normed, activated, gated copy of
    drawn_from: dict[int, int] = {}  # value -> the depthwise node that all of it is computed from
    paired: dict[int, Node] = {}
    for node in graph.nodes:
        live = [value for value in node.reads if _is_live(graph, value)]
        sources = {drawn_from.get(value) for value in live}
        source = sources.pop() if len(sources) == 1 else None
        if source is not None:
            drawn_from.update(dict.fromkeys(node.outputs, source))
        copies = [value for value in live if value in made_by]
        origins = {made_by[value] for value in copies}
        origin = origins.pop() if len(origins) == 1 else None
        if origin is not None and not all(
            value in copies or _gates(graph, node, value, copies[0], maps, drawn_from.get(value) == origin)
            for value in live
        ):
            origin = None
        window = windows.get(node.index)
        if window is not None:
            if window.is_depthwise and not window.transposed:
                made_by.update(dict.fromkeys(node.outputs, node.index))
                drawn_from.update(dict.fromkeys(node.outputs, node.index))
            elif origin is not None and _is_pointwise(window):
                paired.setdefault(origin, node)
        elif origin is not None and op_of(node).kind in _BETWEEN:
            made_by.update(dict.fromkeys(node.outputs, origin))
    return [(graph.nodes[depthwise], pointwise) for depthwise, pointwise in sorted(paired.items())]


def _gates(
    graph: Graph, node: Node, gate: int, value: int, maps: Mapping[int, tuple[int, ...]], drawn: bool
) -> bool:
    """Return whether a node multiplies a value with a gate.

    A gate is computed from the same map (squeeze-and-excite), or is one factor for each channel.
    """
    if node.name != "mul" or drawn:
        return node.name == "mul"
    maker = graph.producer(gate)
    while maker is not None and maker.name == "expand":
        gate = maker.reads[0]
        maker = graph.producer(gate)
    rank = len(graph.values[value].shape)
    shape = (1,) * (rank - len(graph.values[gate].shape)) + graph.values[gate].shape
    return value in maps and all(shape[dim] == 1 for dim in maps[value])


def _is_pointwise(window: Window) -> bool:
    return max(window.kernel) == 1 and window.groups == 1 and not window.transposed


def _is_live(graph: Graph, value: int) -> bool:
    """Whether a value depends on the run: not a parameter, a buffer or a literal."""
    fact = graph.values[value]
    return fact.parameter is None and fact.constant is None
