"""Rules of ops that put windows back into a map: fold, and unpooling by the places of a max pooling."""

from __future__ import annotations

from rfcalc.maps import geometry
from rfcalc.maps.indexmap import Reads
from rfcalc.maps.regroup import broadcast, reshaped
from rfcalc.maps.state import State
from rfcalc.ops.call import Call
from rfcalc.ops.window import pool_settings
from rfcalc.trace.graph import Node, Ref

__all__ = ["fold", "max_unpool"]

_VIEWS = frozenset(
    ["view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "alias", "detach", "clone", "_to_copy"]
)


def fold(call: Call) -> State:
    """F.fold: a place sums up what the windows that cover it hold for it, as a transposed convolution does.

    Columns are windows in row-major order. Where the places of a window see different things (an unfold
    without a mixing in between), each is put back on its own; otherwise a place reads whole windows.
    """
    a, shape, state = call.arguments, call.shape(), call.x
    settings = [a[key] for key in ("kernel_size", "stride", "padding", "dilation")]
    lengths = shape[-2:]
    # L = (n + 2 p - d (k - 1) - 1) // s + 1 windows along an axis of n places.
    grid = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(lengths, *settings, strict=True)]
    channel = len(shape) - 3
    if state.mixed:
        state = state.flagged("upper bound")
    if set(state.dims[channel]) & state.position_atoms:
        return _put_back(state, shape, grid, settings)
    state = reshaped(state, (*state.shape[:-1], *grid))
    state = state.reduced([channel]).resized(channel, shape[channel], channel=True)
    for axis, (k, s, p, d) in enumerate(zip(*settings, strict=True)):
        reads = geometry.transposed(grid[axis], lengths[axis], k, s, p, d)
        state = state.along(channel + 1 + axis, reads)
    return state


def _put_back(state: State, shape: tuple[int, ...], grid: list[int], settings: list[list[int]]) -> State:
    """Return the fold of columns (C kh kw, gh gw) whose places differ, by way of (C, gh kh, gw kw)."""
    *batch, channels, _, _ = shape
    kernel = settings[0]
    state = reshaped(state, (*batch, channels, *kernel, *grid))
    b = len(batch)
    state = state.permuted([*range(b), b, b + 3, b + 1, b + 4, b + 2])
    state = reshaped(state, (*batch, channels, *(n * k for n, k in zip(grid, kernel, strict=True))))
    for axis, (windows, k, s, p, d) in enumerate(zip(grid, *settings, strict=True)):
        dim = b + 1 + axis
        state = state.along(dim, geometry.put_back(windows, shape[dim], k, s, p, d))
    return state


def max_unpool(call: Call) -> State:
    """Max unpooling: a value goes back to the place that its window had its maximum at.

    Which place that is depends on the data; it lies within the window of the pooling that made the indices,
    so that a place reads at most the values whose windows cover it, and their indices likewise. Indices of
    another origin may point anywhere.
    """
    reads = _window_reads(call)
    if reads is None:
        return call.whole("data-dependent")
    parts = []
    for ref in call.node.args[:2]:
        state = call.state(ref)
        if state.paths:
            for dim, along in reads:
                state = state.along(dim, along)
            parts.append(state)
    return broadcast(parts, call.shape(), branches=False).flagged("data-dependent")


def _window_reads(call: Call) -> list[tuple[int, Reads]] | None:
    """Return the dimensions that unpooling enlarges and what their places read; None: not known."""
    pool = _pool_of(call, call.node.args[1])
    x, shape = call.value(call.node.args[0]).shape, call.shape()
    if pool is None:
        return None
    made = Call(pool, call.graph, call.states)
    axes = len(pool_settings(made)[0]) if "adaptive" not in pool.name else len(made.arguments["output_size"])
    before, after = made.x.shape[-axes:], made.shape()[-axes:]
    # One axis is pooled as two, of which one has length 1; unpooling may have it as the other one.
    pooled = [axis for axis in range(axes) if before[axis] > 1]
    enlarged = [d for d in range(len(shape) - len(call.arguments["output_size"]), len(shape)) if shape[d] > 1]
    lengths = [(x[d], shape[d]) for d in enlarged]
    # The indices number the places of the pooled map: in a map of another size they are other places.
    if lengths != [(after[axis], before[axis]) for axis in pooled]:
        return None
    if "adaptive" in pool.name:
        windows = [geometry.adaptive_pool(before[axis], after[axis]) for axis in pooled]
        return list(zip(enlarged, map(_inverse, windows), strict=True))
    settings = pool_settings(made)
    return [
        (d, geometry.transposed(x[d], shape[d], *(setting[axis] for setting in settings)))
        for d, axis in zip(enlarged, pooled, strict=True)
    ]


def _pool_of(call: Call, ref: Ref) -> Node | None:
    """Return the max pooling whose indices a tensor holds, through views."""
    value = ref.value
    node = call.graph.producer(value)
    while node is not None and node.name in _VIEWS:
        value = node.reads[0]
        node = call.graph.producer(value)
    if node is None or "max_pool" not in node.name or value not in node.outputs[1:]:
        return None
    return node


def _inverse(reads: Reads) -> Reads:
    """Return what the inputs of an op are read by, as reads."""
    sources = tuple(tuple(o for o, read in enumerate(reads.sources) if i in read) for i in range(reads.n_in))
    return Reads(reads.n_out, sources, flags=frozenset({"size-dependent"}))
