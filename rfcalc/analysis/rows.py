"""Which ops become rows, and what they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rfcalc.errors import one_line
from rfcalc.maps.state import State
from rfcalc.ops.call import Call
from rfcalc.ops.cost import factors
from rfcalc.ops.lookup import op_of
from rfcalc.ops.op import SILENT
from rfcalc.ops.window import window_of
from rfcalc.trace.graph import Graph, Node

__all__ = ["is_row", "names_of", "op_name"]


def is_row(node: Node, states: Mapping[int, State]) -> bool:
    """Return whether an op on the input moves, mixes or counts: bookkeeping and ops on weights do not."""
    if not node.outputs or op_of(node).kind in SILENT:
        return False
    return any(states[v].paths for v in node.reads) and bool(states[node.outputs[0]].paths)


_PRODUCTS = ("linear", "matmul")


def op_name(graph: Graph, node: Node, states: Mapping[int, State]) -> str:
    """Return what a reader calls an op."""
    window, label = window_of(graph, node), op_of(node).label
    if window is not None:
        label = "transposed conv" if window.transposed else label
        return f"depthwise {label}" if window.is_depthwise else label
    if label in _PRODUCTS:
        # PyTorch's releases choose mm or bmm for the same linear layer; its factors tell it from attention.
        call = Call(node, graph, states)
        return _PRODUCTS[all(states[ref.value].paths for ref in factors(call))]
    return label or node.name.strip("_").replace("_", " ")


def names_of(graph: Graph, nodes: Sequence[Node], ops: Mapping[int, str]) -> dict[int, str]:
    """Return the unique name of each row's node.

    A module that ran one op in a call gives its path; otherwise the op's name is added. What repeats is
    numbered.

    Args:
        graph: The run.
        nodes: The nodes that have a row.
        ops: Of each of them by index, what `op_name` calls its op.
    """
    ops_in_call = Counter((n.path, n.call) for n in nodes)
    parents = {n.path.rpartition(".")[0] for n in graph.nodes if n.path} | {""}
    seen: Counter[str] = Counter()
    names = {}
    for node in nodes:
        leaf = node.path not in parents and ops_in_call[node.path, node.call] == 1
        op = ops[node.index].replace(" ", "_")
        name = node.path if leaf else f"{node.path}.{op}" if node.path else op
        name = one_line(name)  # a module may be called anything, and its name goes to the terminal
        seen[name] += 1
        names[node.index] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return names
