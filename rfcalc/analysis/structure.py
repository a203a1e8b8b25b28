"""What kind of network it is, read from the ops that ran: separable pairs, dilation, pooling, stages."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rfcalc.analysis.separable import SeparablePair as SeparablePair
from rfcalc.analysis.separable import pairs_of
from rfcalc.ops.lookup import op_of
from rfcalc.ops.op import Kind
from rfcalc.ops.window import Window, window_of
from rfcalc.trace.graph import Graph, Node, Ref


@dataclass(frozen=True)
class PartialPool:
    """An average pool that is nearly global: its name, its window and the map that it reads, in places."""

    name: str
    window: tuple[int, ...]
    map: tuple[int, ...]


@dataclass(frozen=True)
class Structure:
    """The kinds of layers that a budget asks for, each by the names of its rows, in execution order.

    Attributes:
        depthwise_separable: A convolution with groups = its input channels > 1 and kernel > 1, and the 1x1
            convolution that reads its result through norms, activations, dropout and gates alone.
        dilated: Convolutions and transposed convolutions with dilation > 1 where the kernel is > 1.
        global_average_pools: Ops that average the whole map (mean, adaptive, or a window of its size) on the
            way to the output: what follows has no places any more.
        max_pools: Max pooling of any kind, global included.
        stages: Top-level children named letters + number: the longest family that counts up from 1 and has
            layers on a map; families of norms, activations or classifiers are none.
        gate_pools: Averages of the whole map whose result goes back into a map, as in a squeeze-and-excite
            gate.
        partial_pools: Average pools whose window covers half of the map or more along every axis, not all.
    """

    depthwise_separable: tuple[SeparablePair, ...]
    dilated: tuple[str, ...]
    global_average_pools: tuple[str, ...]
    max_pools: tuple[str, ...]
    stages: tuple[str, ...]
    gate_pools: tuple[str, ...] = ()
    partial_pools: tuple[PartialPool, ...] = ()


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
    averages = [node for node in graph.nodes if _averages_all(graph, node, maps)]
    places = _places(graph, maps, {node.index for node in averages})
    leading = _leading_to_output(graph, places)
    final = [node for node in averages if leading.intersection(node.outputs)]
    return Structure(
        depthwise_separable=tuple(
            SeparablePair(called(depthwise), called(pointwise))
            for depthwise, pointwise in pairs_of(graph, windows, maps)
        ),
        dilated=tuple(called(graph.nodes[i]) for i, window in windows.items() if _is_dilated(window)),
        global_average_pools=tuple(called(node) for node in final),
        max_pools=tuple(called(node) for node in graph.nodes if _pools_max(graph, node, maps)),
        stages=_stages(graph, places),
        gate_pools=tuple(called(node) for node in averages if node not in final),
        partial_pools=tuple(
            PartialPool(called(node), *covered)
            for node in graph.nodes
            if (covered := _averages_most(graph, node, maps)) and node not in averages
        ),
    )


def name_of(node: Node) -> str:
    """The module path of a node, "#2" for the module's second call; the op's name outside of any child."""
    if not node.path:
        return node.name
    return node.path if node.call == 1 else f"{node.path}#{node.call}"


def _is_dilated(window: Window) -> bool:
    return any(d > 1 and k > 1 for d, k in zip(window.dilation, window.kernel, strict=True))


def _places(graph: Graph, maps: Mapping[int, tuple[int, ...]], averages: set[int]) -> set[int]:
    """Return the values that are a map with places of their own: not behind a global pooling alone.

    A gate is behind its squeeze until it is multiplied with the map: the product is a map again.
    """
    places = {graph.input}
    for node in graph.nodes:
        pools = node.index in averages or _pools_max_of_all(graph, node, maps)
        if not pools and places.intersection(node.reads):
            places.update(value for value in node.outputs if value in maps)
    return places


def _pools_max_of_all(graph: Graph, node: Node, maps: Mapping[int, tuple[int, ...]]) -> bool:
    if not node.reads or node.reads[0] not in maps:
        return False
    shape, spatial = graph.values[node.reads[0]].shape, maps[node.reads[0]]
    if op_of(node).kind is Kind.EXTREMUM:
        return _reduces(node, shape, spatial)
    if "adaptive_max_pool" in node.name:
        return all(size == 1 for size in _each(node.args[1], len(spatial)))
    return False


def _leading_to_output(graph: Graph, places: set[int]) -> set[int]:
    """Return the values that reach an output without becoming part of a map on the way."""
    leading = set(graph.outputs.values()) - places
    for node in reversed(graph.nodes):
        if leading.intersection(node.outputs):
            leading.update(value for value in node.reads if value not in places)
    return leading


def _averages_most(
    graph: Graph, node: Node, maps: Mapping[int, tuple[int, ...]]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the window and the map of an average pool that reads half of each axis or more."""
    if op_of(node).kind is not Kind.AVERAGE_POOL or node.reads[0] not in maps:
        return None
    spatial = maps[node.reads[0]]
    lengths = tuple(graph.values[node.reads[0]].shape[dim] for dim in spatial)
    sizes = _each(node.args[1], len(lengths))
    if "adaptive" in node.name:
        sizes = tuple(-(-n // m) for n, m in zip(lengths, sizes, strict=True))
    most = all(2 * k >= n for k, n in zip(sizes, lengths, strict=True))
    return (sizes, lengths) if most and math.prod(lengths) > 1 else None


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


_LAYERS = frozenset({Kind.CONVOLUTION, Kind.PRODUCT, Kind.ATTENTION, Kind.RECURRENT})


def _stages(graph: Graph, places: set[int]) -> tuple[str, ...]:
    """Return the longest family of children that has layers on a map; on anything where none has."""
    layers = [node for node in graph.nodes if op_of(node).kind in _LAYERS]
    on_maps = {n.path.partition(".")[0] for n in layers if places.intersection(n.reads)}
    found = _longest_family(graph, on_maps)
    return found or _longest_family(graph, {n.path.partition(".")[0] for n in layers})


def _longest_family(graph: Graph, working: set[str]) -> tuple[str, ...]:
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
        if working.intersection(run):
            longest = max(longest, run, key=len)
    return tuple(longest)
