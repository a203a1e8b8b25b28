"""Rules of ops that mix whole dimensions: linear layers, norms, softmax, reductions, scans, sampling."""

from __future__ import annotations

from dataclasses import replace

from rfcalc.maps import geometry
from rfcalc.maps.regroup import broadcast, expanded, unified
from rfcalc.maps.state import State, constant, join
from rfcalc.ops.call import Call
from rfcalc.ops.cost import trilinear_shape
from rfcalc.trace.graph import Ref

__all__: list[str] = []


def product(a: State, b: State, shape: tuple[int, ...]) -> State:
    """Return the state of a (batched) matrix product (..., m, k) x (..., k, n) -> (..., m, n)."""
    rank = len(shape)
    left = right = None
    if a.paths:
        left = a.reduced([len(a.dims) - 1])
        left = replace(left, mixed=False, dims=((),) * (rank - len(left.dims)) + left.dims)
    if b.paths:
        right = b.reduced([len(b.dims) - 2])
        right = replace(right, mixed=False, dims=((),) * (rank - len(right.dims)) + right.dims)
    flags = a.flags | b.flags
    if left is None and right is None:
        return replace(constant(shape), flags=flags)
    if left is None or right is None:
        only = left or right
        assert only is not None
        # The free dimension comes from a matrix of weights: these are the new channels.
        channel = rank - 1 if right is None else rank - 2
        out = only.resized(channel, shape[channel], channel=True)
        return expanded(out, shape).flagged(*flags)
    # Rows come from one operand, columns from the other: neither repeats along the other's dimension.
    right = right.refreshed()
    rows, columns = left.dims[-2], right.dims[-1]
    left_batch = replace(left, dims=(*left.dims[:-2], (), ()))
    right_batch = replace(right, dims=(*right.dims[:-2], (), ()))
    batch = (*shape[:-2], 1, 1)
    left_batch, right_batch = unified(expanded(left_batch, batch), expanded(right_batch, batch))
    dims = (*left_batch.dims[:-2], rows, columns)
    operands = [replace(left_batch, dims=dims), replace(right_batch, dims=dims)]
    # Rows read along with columns are one op's taps: attention is no misaligned join.
    return join(operands, branches=False).flagged(*flags)


def matmul(call: Call) -> State:
    """Matrix products mm and bmm: the inner dimension is mixed, be it channels or places."""
    a, b = (call.state(ref) for ref in call.node.args[:2])
    return product(a, b, call.shape())


def addmm(call: Call) -> State:
    """A product plus a bias: addmm, baddbmm."""
    bias, a, b = (call.state(ref) for ref in call.node.args[:3])
    out = product(a, b, call.shape())
    return broadcast([out, bias], call.shape()) if bias.paths else out


def matvec(call: Call) -> State:
    """A matrix times a vector, mv, and a vector times another, dot: both operands may be of the input."""
    one, two = (call.state(ref) for ref in call.node.args[:2])
    parts = [replace(s.reduced([len(s.dims) - 1]), dims=s.dims[:-1]) for s in (one, two)]
    return replace(broadcast(parts, call.shape(), branches=False), mixed=False)


def trilinear(call: Call) -> State:
    """A product of three tensors, each with dimensions of length 1 put in, summed over some: nn.Bilinear."""
    parts = []
    for ref, places in zip(call.node.args[:3], call.node.args[3:6], strict=True):
        state = call.state(ref)
        for d in sorted(places):
            state = replace(state, dims=(*state.dims[:d], (), *state.dims[d:]))
        parts.append(state)
    shape = trilinear_shape(call)
    summed = broadcast(parts, shape, branches=False).reduced(call.node.args[6])
    dims = tuple(dim for d, dim in enumerate(summed.dims) if d not in call.node.args[6])
    return replace(summed, dims=dims, mixed=False)


def linear(call: Call) -> State:
    """A linear layer that was not decomposed: the last dimension is mixed."""
    state = call.x.reduced([len(call.x.dims) - 1])
    return replace(state.resized(len(state.dims) - 1, call.shape()[-1], channel=True), mixed=False)


def attention(call: Call) -> list[State]:
    """Fused attention: each query reads itself and every key and value of its sequence."""
    query, key, value = (call.state(ref) for ref in call.node.args[:3])
    outs = []
    for i in range(len(call.node.outputs)):
        shape = call.shape(i)
        if i or len(shape) != len(query.dims):
            outs.append(constant(shape))
            continue
        sequence = len(shape) - 2
        parts = [query.reduced([sequence + 1]).resized(sequence + 1, shape[-1], channel=True)]
        for other in (key, value):
            mixed = other.reduced([sequence, sequence + 1]).resized(sequence + 1, shape[-1], channel=True)
            parts.append(expanded(mixed, shape))
        outs.append(replace(broadcast(parts, shape, branches=False), mixed=False))
    return outs


def softmax(call: Call) -> State:
    """Softmax and log-softmax: each element and, through the sum, its whole dimension."""
    return call.normalising([call.arguments["dim"]])


def layer_norm(call: Call) -> list[State]:
    """Layer and RMS norm over the last dimensions."""
    count = len(call.arguments["normalized_shape"])
    out = call.normalising(range(-count, 0))
    return [out, *(constant(call.shape(i)) for i in range(1, len(call.node.outputs)))]


def group_norm(call: Call) -> list[State]:
    """Group norm: the statistic of a group covers all positions."""
    out = call.normalising(range(1, len(call.x.dims)))
    return [out, *(constant(call.shape(i)) for i in range(1, len(call.node.outputs)))]


def batch_norm(call: Call) -> list[State]:
    """Batch norm: pointwise in eval mode; its statistics cover the batch and all positions in training."""
    training = call.arguments.get("training", call.arguments.get("train", False))
    if "no_training" in call.node.name:
        training = False
    gone = [d for d in range(len(call.x.dims)) if d != 1]
    out = call.normalising(gone) if training else call.x
    return [out, *(constant(call.shape(i)) for i in range(1, len(call.node.outputs)))]


def reduction(call: Call) -> State | list[State]:
    """Sums, means, extrema, norms over some dimensions or over all."""
    a = call.arguments
    dim = a.get("dim")
    rank = len(call.x.dims)
    dims = [dim] if isinstance(dim, int) else list(dim) if dim else list(range(rank))
    out = call.mixing(dims, keepdim=bool(a.get("keepdim")))
    return [out] * len(call.node.outputs)


def scan(call: Call) -> State | list[State]:
    """Cumulative ops: output o reads 0..o."""
    dim = call.arguments["dim"] % len(call.x.dims)
    return [call.along(dim, geometry.prefix(call.x.shape[dim]))] * len(call.node.outputs)


def running_extremum(call: Call) -> list[State]:
    """Running maximum and minimum: of 0..o one value comes out, depending on the data."""
    dim = call.arguments["dim"] % len(call.x.dims)
    state = call.along(dim, geometry.prefix(call.x.shape[dim])).flagged("data-dependent")
    return [state] * len(call.node.outputs)


def recurrent(call: Call) -> list[State]:
    """One direction of a recurrent layer, (time, batch, features): step o reads 0..o, or o.. in reverse."""
    steps = call.x.shape[0]
    reads = geometry.suffix(steps) if call.arguments["reverse"] else geometry.prefix(steps)
    x = call.x.reduced([2])
    out = replace(x.along(0, reads).resized(2, call.shape()[2], channel=True), mixed=False)
    last = replace(x.reduced([0]), dims=())
    states = (expanded(last, call.shape(i)) for i in range(1, len(call.node.outputs)))
    return [out, *states]


def ordering(call: Call) -> list[State]:
    """Sorting and top-k: any place of the dimension may come out, depending on the data."""
    if not call.x.dims:
        return [call.x] * len(call.node.outputs)
    dim = call.arguments.get("dim", -1) % len(call.x.dims)
    if len(call.shape()) < len(call.x.dims):  # one value is chosen, and the dimension vanishes
        state = call.mixing([dim])
    else:
        state = call.x.reduced([dim]).resized(dim, call.shape()[dim])
    return [state.flagged("data-dependent")] * len(call.node.outputs)


def spectrum(call: Call) -> State:
    """Fourier transforms: every frequency reads the whole of the transformed dimensions."""
    state, shape = call.x, call.shape()
    for d in call.arguments["dim"]:
        d %= len(shape)
        state = state.reduced([d]).resized(d, shape[d])
    return state


def grid_sample(call: Call) -> State:
    """Sampling at computed places: any place of the map, and whatever the places were computed from.

    The local path is the nominal one: the grid that is nowhere displaced, a resize to the output's size.
    """
    x, grid = call.state(call.node.args[0]), call.state(call.node.args[1])
    shape = call.shape()
    axes = len(shape) - 2
    parts = [expanded(x.reduced(range(2, 2 + axes)), (*shape[:2], *(1,) * axes))]
    if x.paths:
        nominal = x
        for d in range(2, 2 + axes):
            nominal = nominal.along(d, geometry.linear(x.shape[d], shape[d], None, False))
        parts.insert(0, nominal)
    if grid.paths:
        grid = grid.reduced([len(grid.dims) - 1])
        parts.append(replace(grid, dims=(grid.dims[0], (), *grid.dims[1:-1])))
    return broadcast(parts, shape).flagged("data-dependent")


def deformable(call: Call) -> State:
    """Deformable convolution: places computed from offsets (and weighted by a mask): anywhere in the map."""
    shape = call.shape()
    parts = []
    for i, ref in enumerate(call.node.args[:4]):
        if i == 1 or not isinstance(ref, Ref) or not call.state(ref).paths:
            continue
        state = call.state(ref).reduced([1])
        if i == 0:
            parts.append(_undisplaced(call, state))
        parts.append(state.reduced([2, 3]) if i == 0 else state)
    return (
        broadcast(parts, (shape[0], 1, *shape[2:]))
        .resized(1, shape[1], channel=True)
        .flagged("data-dependent")
    )


def _undisplaced(call: Call, state: State) -> State:
    """Return the nominal path of a deformable convolution: the convolution without offsets."""
    kernel, shape = call.value(call.node.args[1]).shape[2:], call.shape()
    strides, paddings, dilations = (call.node.args[k : k + 2] for k in (5, 7, 9))
    for axis, (k, s, p, d) in enumerate(zip(kernel, strides, paddings, dilations, strict=True)):
        state = state.along(2 + axis, geometry.window(state.shape[2 + axis], shape[2 + axis], k, s, p, d))
    return state
