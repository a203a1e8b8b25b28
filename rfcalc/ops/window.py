"""Rules of ops that slide a window or resample: convolution, pooling, interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from rfcalc.maps import geometry
from rfcalc.maps.indexmap import Reads
from rfcalc.maps.regroup import broadcast
from rfcalc.maps.state import State
from rfcalc.ops.call import Call, spread_over
from rfcalc.trace.graph import Graph, Node

__all__ = ["Window", "pool_settings", "window_of"]


@dataclass(frozen=True)
class Window:
    """The settings of one convolution, for each spatial axis, in pixels of its own input."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    in_channels: int
    out_channels: int
    transposed: bool

    @property
    def is_depthwise(self) -> bool:
        """Every input channel has filters of its own, larger than one pixel."""
        return self.groups == self.in_channels > 1 and max(self.kernel) > 1


def window_of(graph: Graph, node: Node) -> Window | None:
    """Return the settings of a convolution node; None for any other op."""
    if node.name != "convolution":
        return None
    _, weight, _, stride, padding, dilation, transposed, _, groups = node.args[:9]
    shape = graph.values[weight.value].shape
    axes = len(shape) - 2
    return Window(
        kernel=tuple(shape[2:]),
        stride=spread_over(stride, axes),
        padding=spread_over(padding, axes),
        dilation=spread_over(dilation, axes),
        groups=groups,
        in_channels=shape[0] if transposed else shape[1] * groups,
        out_channels=shape[1] * groups if transposed else shape[0],
        transposed=transposed,
    )


def contract_channels(state: State, channels: int, groups: int = 1) -> State:
    """Return the state after every output channel has read all input channels (of its group)."""
    uneven = bool(set(state.dims[1]) & state.position_atoms)
    mixed = groups > 1 and (state.mixed or uneven)
    return replace(state.reduced([1]).resized(1, channels, channel=True), mixed=mixed)


def convolution(call: Call) -> State:
    """Convolution and transposed convolution of any rank."""
    window = window_of(call.graph, call.node)
    assert window is not None
    x = contract_channels(call.state(call.node.args[0]), window.out_channels, window.groups)
    out = call.window(
        window.kernel, window.stride, window.padding, window.dilation, transposed=window.transposed, x=x
    )
    weight = call.state(call.node.args[1])
    if weight.paths:
        # Filters computed from the input (dynamic convolution) bring all of it everywhere.
        everywhere = replace(weight.reduced(range(len(weight.dims))), dims=())
        out = broadcast([out, everywhere], out.shape)
    return out


def pool_settings(call: Call) -> tuple[tuple[int, ...], ...]:
    """Return kernel, stride, padding and dilation of a pooling, each for every axis."""
    a = call.arguments
    kernel = a["kernel_size"]
    axes = int(call.node.name.split("pool")[1][0])
    stride = a.get("stride") or kernel
    return tuple(spread_over(v, axes) for v in (kernel, stride, a.get("padding", 0), a.get("dilation", 1)))


def max_pool(call: Call) -> list[State]:
    """Max pooling: every position of the window counts, and the indices see the same."""
    return [call.window(*pool_settings(call))] * len(call.node.outputs)


def average_pool(call: Call) -> State:
    """Average pooling; with a window of the map's size it is global pooling."""
    kernel, stride, padding, dilation = pool_settings(call)
    axes = len(kernel)
    spatial, out = call.x.shape[-axes:], call.shape()[-axes:]
    if not any(padding) and set(out) == {1} and all(k >= n for k, n in zip(kernel, spatial, strict=True)):
        return call.mixing(range(-axes, 0), keepdim=True)
    return call.window(kernel, stride, padding, dilation)


def adaptive_pool(call: Call) -> State | list[State]:
    """Adaptive pooling, average or max; an output of length 1 is global."""
    axes = int(call.node.name.split("pool")[1][0])
    state, shape = call.x, call.shape()
    gone = [d for d in range(len(shape) - axes, len(shape)) if shape[d] == 1]
    state = state.reduced(gone)
    for d in range(len(shape) - axes, len(shape)):
        if d not in gone:
            state = state.along(d, geometry.adaptive_pool(state.shape[d], shape[d]))
    return [state] * len(call.node.outputs)


def _scales(arguments: dict[str, Any], axes: int) -> list[float | None]:
    names = {1: ["scales"], 2: ["scales_h", "scales_w"], 3: ["scales_d", "scales_h", "scales_w"]}[axes]
    return [arguments.get(name) for name in names]


def resample(call: Call) -> State:
    """Interpolation: nearest, linear, bicubic and their antialiased forms."""
    name, a = call.node.name, call.arguments
    state, shape = call.x, call.shape()
    axes = len(shape) - 2
    for axis, scale in enumerate(_scales(a, axes)):
        d = 2 + axis
        n_in, n_out = state.shape[d], shape[d]
        state = state.along(d, _resampling(name, n_in, n_out, scale, bool(a.get("align_corners"))))
    return state


def _resampling(name: str, n_in: int, n_out: int, scale: float | None, align: bool) -> Reads:
    if "nearest" in name:
        exact = "exact" in name
        reads = geometry.nearest(n_in, n_out, scale, exact)
        if reads.period & (reads.period - 1):
            reads = replace(reads, sources=_measured_nearest(n_in, n_out, scale, exact))
        return reads
    if name.endswith("_aa"):
        return geometry.antialiased(n_in, n_out, scale, 2 if "bicubic" in name else 1)
    if "bicubic" in name:
        return geometry.bicubic(n_in, n_out, scale, align)
    return geometry.linear(n_in, n_out, scale, align)


def _measured_nearest(n_in: int, n_out: int, scale: float | None, exact: bool) -> tuple[tuple[int, ...], ...]:
    """Run the op on positions: its float32 arithmetic may round a place across a border."""
    op = torch.ops.aten._upsample_nearest_exact1d if exact else torch.ops.aten.upsample_nearest1d
    places = op(torch.arange(n_in, dtype=torch.float32).reshape(1, 1, n_in), [n_out], scale)
    return tuple((int(i),) for i in places.flatten().tolist())


def pad(call: Call) -> State:
    """Constant, reflection and replication padding; the last dimension comes first in the amounts."""
    amounts: Sequence[int] = call.arguments.get("pad") or call.arguments["padding"]
    mode = {"constant": "constant", "reflection": "reflect", "replication": "replicate"}[
        call.node.name.split("_")[0]
    ]
    state = call.x
    for i in range(len(amounts) // 2):
        dim = len(state.dims) - 1 - i
        before, after = amounts[2 * i], amounts[2 * i + 1]
        if before or after:
            reads = geometry.pad(state.shape[dim], before, after, mode)
            channels = dim == 1 and not set(state.dims[1]) & state.position_atoms
            state = state.resized(1, reads.n_out, channel=True) if channels else state.along(dim, reads)
    return state
