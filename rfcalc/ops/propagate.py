"""Graph -> the State of every value: each node's rule in turn, no recursion."""

from __future__ import annotations

from dataclasses import replace

from rfcalc.errors import RuleError
from rfcalc.maps.state import State, constant, image
from rfcalc.ops.call import Call
from rfcalc.ops.lookup import op_of
from rfcalc.ops.probe import probed
from rfcalc.trace.graph import Graph, Node

__all__ = ["propagate"]


def propagate(graph: Graph) -> dict[int, State]:
    """Return the state of every value of a run, by number.

    Raises:
        RuleError: A rule returned something else than one state of the right shape for each output.
    """
    states: dict[int, State] = {}
    for entry in graph.values:
        if entry.producer is None:
            states[entry.index] = constant(entry.shape)
    shape = graph.values[graph.input].shape
    states[graph.input] = image(shape, len(graph.input_size) - 1)
    for node in graph.nodes:
        if not node.outputs:
            continue
        for value, state in zip(node.outputs, _states(graph, node, states), strict=True):
            states[value] = state
    return states


def _states(graph: Graph, node: Node, states: dict[int, State]) -> list[State]:
    if not any(states[value].paths for value in node.reads):
        flags = frozenset[str]().union(*(states[value].flags for value in node.reads))
        return [replace(constant(graph.values[v].shape), flags=flags) for v in node.outputs]
    call = Call(node, graph, states)
    rule = op_of(node).rule
    result = probed(call) if rule is None else rule(call)
    if isinstance(result, State):
        # Further outputs of another shape are bookkeeping (saved statistics, reserved buffers).
        shapes = [call.shape(i) for i in range(len(node.outputs))]
        out = [result if i == 0 or s == result.shape else constant(s) for i, s in enumerate(shapes)]
    else:
        out = list(result)
    if len(out) != len(node.outputs):
        raise RuleError(f"the rule of {node.op} returned {len(out)} states for {len(node.outputs)} outputs")
    for i, state in enumerate(out):
        got = _shape_of(state)
        if got != call.shape(i):
            raise RuleError(
                f"the rule of {node.op} at '{node.path}' returned {got}, the output is {call.shape(i)}"
            )
    return out


def _shape_of(state: object) -> object:
    """Return a state's shape; the type's name for what a user's rule returned instead."""
    return state.shape if isinstance(state, State) else type(state).__name__
