"""Which ops become rows, and what they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rfcalc.maps.state import State
from rfcalc.ops.window import window_of
from rfcalc.trace.graph import Graph, Node, write_view

__all__ = ["is_row", "names_of", "op_name"]

# Bookkeeping: the same elements under another shape or name.
_SILENT = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "_reshape_alias",
        "unflatten",
        "flatten",
        "expand",
        "permute",
        "transpose",
        "t",
        "unsqueeze",
        "squeeze",
        "alias",
        "detach",
        "clone",
        "contiguous",
        "lift_fresh",
        "lift",
        "_to_copy",
        "copy",
        "split",
        "split_with_sizes",
        "unsafe_split",
        "unbind",
        "chunk",
    ]
)

_NAMES = {
    "native_batch_norm": "batch norm",
    "_native_batch_norm_legit": "batch norm",
    "_native_batch_norm_legit_no_training": "batch norm",
    "cudnn_batch_norm": "batch norm",
    "native_layer_norm": "layer norm",
    "native_group_norm": "group norm",
    "_fused_rms_norm": "rms norm",
    "addmm": "linear",
    "mm": "linear",
    "_softmax": "softmax",
    "_safe_softmax": "softmax",
    "_log_softmax": "log softmax",
    "max_pool2d_with_indices": "max pool",
    "max_pool3d_with_indices": "max pool",
    "max_pool1d_with_indices": "max pool",
    "avg_pool1d": "average pool",
    "avg_pool2d": "average pool",
    "avg_pool3d": "average pool",
    "_adaptive_avg_pool2d": "adaptive average pool",
    "_adaptive_avg_pool3d": "adaptive average pool",
    "adaptive_max_pool2d": "adaptive max pool",
    "adaptive_max_pool3d": "adaptive max pool",
    "constant_pad_nd": "pad",
    "bmm": "matmul",
    "baddbmm": "matmul",
    "_prelu_kernel": "prelu",
    "cat": "concat",
    "im2col": "unfold",
    "mkldnn_rnn_layer": "recurrent",
}


def is_row(graph: Graph, node: Node, states: Mapping[int, State]) -> bool:
    """Return whether an op moves, mixes or counts: bookkeeping and ops on weights alone do not."""
    if node.op is write_view or not node.outputs or node.name in _SILENT:
        return False
    return any(states[v].paths for v in node.reads) and bool(states[node.outputs[0]].paths)


def op_name(graph: Graph, node: Node) -> str:
    """Return what a reader calls an op."""
    window = window_of(graph, node)
    if window is not None:
        kind = "transposed conv" if window.transposed else "conv"
        if window.is_depthwise:
            return f"depthwise {kind}"
        return kind
    name = node.name
    if "upsample" in name:
        return name.strip("_").replace("upsample_", "upsample ").rstrip("123d").replace("_", " ").strip()
    if "scaled_dot_product" in name:
        return "attention"
    if name.endswith(("1d", "2d", "3d")) and "pad" in name:
        return name[:-2].replace("_", " ")
    return _NAMES.get(name, name.strip("_").replace("_", " "))


def names_of(graph: Graph, nodes: Sequence[Node]) -> dict[int, str]:
    """Return the unique name of each row's node.

    A module that ran one op in a call gives its path; otherwise the op's name is added. What repeats is
    numbered.
    """
    ops_in_call = Counter((n.path, n.call) for n in nodes)
    parents = {n.path.rpartition(".")[0] for n in graph.nodes if n.path} | {""}
    seen: Counter[str] = Counter()
    names = {}
    for node in nodes:
        leaf = node.path not in parents and ops_in_call[node.path, node.call] == 1
        op = op_name(graph, node).replace(" ", "_")
        name = node.path if leaf else f"{node.path}.{op}" if node.path else op
        seen[name] += 1
        names[node.index] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return names
