"""Which row owns which parameters: those of layers on the input, of layers on constants, and the unused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

from rfcalc.maps.state import State
from rfcalc.ops.lookup import op_of
from rfcalc.ops.op import WEIGHTED, Kind
from rfcalc.trace.graph import Graph, Node

__all__ = ["Ownership", "ownership"]

_NOTHING = frozenset[str]()


@dataclass(frozen=True)
class Ownership:
    """Where the parameters of a network are used.

    Attributes:
        params: For each node, the elements of the parameters that it is the first to use.
        constant_layers: Numbers of nodes that are layers although the input has no part in them, such as a
            convolution of a table of positions.
        unused: Elements of the parameters that no layer uses, by the outermost module that uses none of its
            own; by the parameter's name where its module uses others.
    """

    params: Mapping[int, int]
    constant_layers: frozenset[int]
    unused: Mapping[str, int]


def ownership(graph: Graph, states: Mapping[int, State], parameters: Mapping[str, int]) -> Ownership:
    """Follow every parameter to the layer that uses it first.

    A weight may pass through ops of its own before it meets the input (weight norm): it belongs to the layer
    that uses the result. A layer on a constant ends such a way.

    Args:
        graph: The run.
        states: State of every value.
        parameters: Elements of every parameter, by qualified name, each tensor once.
    """
    made_of: dict[int, frozenset[str]] = {
        value.index: frozenset({value.parameter})
        for value in graph.values
        if value.parameter is not None and value.parameter in parameters
    }
    seen: set[str] = set()
    params: dict[int, int] = {}
    layers: set[int] = set()
    for node in graph.nodes:
        names = _NOTHING.union(*(made_of[v] for v in node.reads if v in made_of))
        live = any(states[v].paths for v in node.outputs)
        if not live and _is_layer(node, made_of, names):
            layers.add(node.index)
        elif not live:
            if names:
                made_of.update(dict.fromkeys(node.outputs, names))
            continue
        fresh = names - seen
        seen |= fresh
        if fresh:
            params[node.index] = sum(parameters[name] for name in fresh)
    return Ownership(params, frozenset(layers), _unused(parameters, seen))


def _is_layer(node: Node, made_of: Mapping[int, frozenset[str]], names: frozenset[str]) -> bool:
    """Return whether a node without the input is a layer, not a step in the making of a weight.

    A layer has weights of its own module and reads something else, too: a buffer, a table of another module,
    numbers made on the way. A convolution is no such step, whatever it reads.
    """
    kind = op_of(node).kind
    if kind not in WEIGHTED or not node.outputs:
        return False
    if kind in (Kind.CONVOLUTION, Kind.RECURRENT):
        return True
    own = {name for name in names if node.path and name.startswith(f"{node.path}.")}
    return bool(own) and any(not made_of.get(value, frozenset()) & own for value in node.reads)


def _unused(parameters: Mapping[str, int], used: set[str]) -> dict[str, int]:
    """Return the elements of what is not used, by the outermost module that has no used parameter."""
    busy: Counter[str] = Counter()
    for name in used:
        busy.update(_modules(name))
    found: Counter[str] = Counter()
    for name, elements in parameters.items():
        if name not in used:
            found[next((m for m in _modules(name) if not busy[m]), name)] += elements
    return dict(found)


def _modules(name: str) -> list[str]:
    """Return the modules that a parameter is in, the outermost first: "a.b.weight" is in "a" and "a.b"."""
    return list(accumulate(name.split(".")[:-1], lambda path, part: f"{path}.{part}"))
