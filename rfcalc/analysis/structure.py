"""What kind of network it is, read from the ops that ran: separable pairs, dilation, pooling, stages."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rfcalc.ops.lookup import op_of
from rfcalc.ops.op import Kind
from rfcalc.ops.window import Window, window_of
from rfcalc.trace.graph import Graph, Node, Ref

FOLDED = frozenset({Kind.NORM, Kind.ACTIVATION, Kind.DROPOUT, Kind.COPY})
"""What a report folds into the layer before it, and what a separable pair may have in between."""

_BETWEEN = FOLDED | {Kind.LAYOUT}
"""A layer norm over channels stands between two permutations."""


@dataclass(frozen=True)
class SeparablePair:
    """A depthwise convolution and the 1x1 convolution that reads its result, by name."""

    depthwise: str
    pointwise: str


@dataclass(frozen=True)
class Structure:
    """The kinds of layers that a budget asks for, each by the names of its rows, in execution order.

    Attributes:
        depthwise_separable: A convolution with groups = its input channels > 1 and kernel > 1, and the 1x1
            convolution that reads its result through norms, activations and dropout alone.
        dilated: Convolutions and transposed convolutions with dilation > 1 where the kernel is > 1.
        global_average_pools: Ops that average the whole map: mean, adaptive, or a window of its size.
        max_pools: Max pooling of any kind, global included.
        stages: Top-level children named letters + number: the longest family that counts up from 1.
    """

    depthwise_separable: tuple[SeparablePair, ...]
    dilated: tuple[str, ...]
    global_average_pools: tuple[str, ...]
    max_pools: tuple[str, ...]
    stages: tuple[str, ...]


def structure_of(graph: Graph, names: Mapping[int, str] | None = None) -> Structure:
    """Read the structure from one traced run.

    Args:
        graph: The run.
        names: What to call each node, by its number; default: its module path, "#2" for a second call.
    """

    def called(node: Node) -> str:
        return names[node.index] if names is not None and node.index in names else name_of(node)

    windows = {node.index: window for node in graph.nodes if (window := window_of(graph, node))}
    maps = _spatial_dims(graph)
    return Structure(
        depthwise_separable=tuple(
            SeparablePair(called(depthwise), called(pointwise))
            for depthwise, pointwise in _pairs(graph, windows)
        ),
        dilated=tuple(called(graph.nodes[i]) for i, window in windows.items() if _is_dilated(window)),
        global_average_pools=tuple(called(node) for node in graph.nodes if _averages_all(graph, node, maps)),
        max_pools=tuple(called(node) for node in graph.nodes if _pools_max(graph, node, maps)),
        stages=_stages(graph),
    )


def name_of(node: Node) -> str:
    """The module path of a node, "#2" for the module's second call; the op's name outside of any child."""
    if not node.path:
        return node.name
    return node.path if node.call == 1 else f"{node.path}#{node.call}"


def _is_dilated(window: Window) -> bool:
    return any(d > 1 and k > 1 for d, k in zip(window.dilation, window.kernel, strict=True))


def _is_pointwise(window: Window) -> bool:
    return max(window.kernel) == 1 and window.groups == 1 and not window.transposed


def _pairs(graph: Graph, windows: Mapping[int, Window]) -> list[tuple[Node, Node]]:
    """Each depthwise convolution with the first 1x1 convolution that reads it, in one pass over the run."""
    made_by: dict[int, int] = {}  # value -> the depthwise node that it is a normed, activated copy of
    paired: dict[int, Node] = {}
    for node in graph.nodes:
        origins = {made_by.get(value) for value in node.reads if _is_live(graph, value)}
        origin = origins.pop() if len(origins) == 1 else None
        window = windows.get(node.index)
        if window is not None:
            if window.is_depthwise and not window.transposed:
                made_by.update(dict.fromkeys(node.outputs, node.index))
            elif origin is not None and _is_pointwise(window):
                paired.setdefault(origin, node)
        elif origin is not None and op_of(node).kind in _BETWEEN:
            made_by.update(dict.fromkeys(node.outputs, origin))
    return [(graph.nodes[depthwise], pointwise) for depthwise, pointwise in sorted(paired.items())]


def _is_live(graph: Graph, value: int) -> bool:
    """Whether a value depends on the run: not a parameter, a buffer or a literal."""
    fact = graph.values[value]
    return fact.parameter is None and fact.constant is None


def _spatial_dims(graph: Graph) -> dict[int, tuple[int, ...]]:
    """Which dimensions of each value are spatial, followed through permutes and flattening; absent: none."""
    axes = len(graph.input_size) - 1
    rank = len(graph.values[graph.input].shape)
    dims = {graph.input: tuple(range(rank - axes, rank))}
    for node in graph.nodes:
        known = [value for value in node.reads if value in dims]
        if not known:
            continue
        source, before = known[0], dims[known[0]]
        for value in node.outputs:
            after = _follow(node, graph.values[source].shape, graph.values[value].shape, before)
            if after:
                dims[value] = after
    return dims


def _follow(
    node: Node, shape: tuple[int, ...], result: tuple[int, ...], spatial: tuple[int, ...]
) -> tuple[int, ...]:
    rank = len(shape)
    if node.name == "permute":
        order = [dim % rank for dim in node.args[1]]
        return tuple(sorted(order.index(dim) for dim in spatial))
    if node.name == "transpose":
        first, second = (dim % rank for dim in node.args[1:3])
        swap = {first: second, second: first}
        return tuple(sorted(swap.get(dim, dim) for dim in spatial))
    if node.name == "unsqueeze":
        at = node.args[1] % (rank + 1)
        return tuple(dim + (dim >= at) for dim in spatial)
    if len(result) == rank:
        return spatial
    flat = math.prod(shape[dim] for dim in spatial)
    if result == (*shape[: spatial[0]], flat, *shape[spatial[-1] + 1 :]):
        return (spatial[0],)
    return ()


def _averages_all(graph: Graph, node: Node, maps: Mapping[int, tuple[int, ...]]) -> bool:
    if not node.args or not isinstance(node.args[0], Ref) or node.args[0].value not in maps:
        return False
    source = graph.values[node.args[0].value].shape
    spatial = maps[node.args[0].value]
    if node.name == "mean":
        return _reduces(node, source, spatial)
    if "adaptive_avg_pool" in node.name:
        return all(size == 1 for size in _each(node.args[1], len(spatial)))
    if node.name.startswith("avg_pool"):
        window = _each(node.args[1], len(spatial))
        return window == tuple(source[dim] for dim in spatial) and math.prod(window) > 1
    return False


def _pools_max(graph: Graph, node: Node, maps: Mapping[int, tuple[int, ...]]) -> bool:
    if op_of(node).kind is Kind.MAX_POOL:
        return True
    if node.name not in ("amax", "max") or not node.args or not isinstance(node.args[0], Ref):
        return False
    spatial = maps.get(node.args[0].value)
    rank = len(graph.values[node.args[0].value].shape)
    return spatial is not None and any(dim % rank in spatial for dim in _reduced(node))


def _reduces(node: Node, shape: tuple[int, ...], spatial: tuple[int, ...]) -> bool:
    """Whether a reduction runs over the spatial dimensions and over nothing else."""
    reduced = {dim % len(shape) for dim in _reduced(node)}
    return reduced >= set(spatial) and all(dim > 0 and shape[dim] == 1 for dim in reduced - set(spatial))


def _reduced(node: Node) -> tuple[int, ...]:
    dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if isinstance(dims, int):
        return (dims,)
    return tuple(dims) if isinstance(dims, (list, tuple)) else ()


def _each(value: int | Iterable[int], axes: int) -> tuple[int, ...]:
    """Normalise an argument that may be one number for all axes."""
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * axes if len(numbers) == 1 else numbers


def _stages(graph: Graph) -> tuple[str, ...]:
    families: dict[str, dict[int, str]] = {}
    for child in dict.fromkeys(node.path.partition(".")[0] for node in graph.nodes):
        found = re.fullmatch(r"([A-Za-z_]*[A-Za-z])_?([1-9]\d*)", child)
        if found:
            families.setdefault(found[1], {})[int(found[2])] = child
    longest: list[str] = []
    for members in families.values():
        run: list[str] = []
        while len(run) + 1 in members:
            run.append(members[len(run) + 1])
        longest = max(longest, run, key=len)
    return tuple(longest)
