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
from rfcalc.ops.window import window_of
from rfcalc.trace.graph import Graph, Node, Ref, write_view

__all__ = ["Counts", "count", "macs_of"]

BYTES = 4
_PRODUCTS = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1, "mv": 0, "dot": 0, "linear": 0}
_UNCOUNTED = frozenset(
    [
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_attention_math",
        "mkldnn_rnn_layer",
        "deform_conv2d",
        "grid_sampler_2d",
        "grid_sampler_3d",
        "_fft_c2c",
        "_fft_r2c",
        "_fft_c2r",
    ]
)


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
        if not any(states[v].paths for v in node.reads):
            continue
        number = macs_of(graph, node, states)
        if number:
            macs[node.index] = number
        elif node.name in _UNCOUNTED or node.name in _PRODUCTS:
            uncounted[node.name] = None
    return Counts(_first_uses(graph, states, parameters), macs, _peak_bytes(graph, states), tuple(uncounted))


def macs_of(graph: Graph, node: Node, states: Mapping[int, State]) -> int:
    """Return the multiply-accumulates of one node for one image, 0 for what the convention leaves out."""
    window = window_of(graph, node)
    if window is not None:
        image = node.args[0].value if window.transposed else node.outputs[0]
        shape = graph.values[image].shape
        filters = window.in_channels // window.groups * window.out_channels * prod(window.kernel)
        return shape[0] * prod(shape[2:]) * filters // graph.batch
    if node.name not in _PRODUCTS:
        return 0
    first = _PRODUCTS[node.name]
    refs = [ref for ref in node.args[first : first + 2] if isinstance(ref, Ref)]
    if all(states[ref.value].paths for ref in refs):
        return 0
    inner = graph.values[refs[0].value].shape[-1]
    return prod(graph.values[node.outputs[0]].shape) * inner // graph.batch


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
