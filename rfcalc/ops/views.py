"""Rules of views: the same elements under other dimensions, space to channels and back."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from rfcalc.maps import geometry
from rfcalc.maps.regroup import broadcast, expanded, reshaped
from rfcalc.maps.state import Atom, State
from rfcalc.ops.call import Call

__all__: list[str] = []


def same(call: Call) -> State:
    """Copies and aliases: nothing moves."""
    return call.x


def as_real(call: Call) -> State:
    """A complex tensor as real ones: real and imaginary part of a place see the same, in a new dimension."""
    return replace(call.x, dims=(*call.x.dims, ())).resized(len(call.x.dims), 2)


def as_complex(call: Call) -> State:
    """Pairs in the last dimension become one complex number."""
    last = len(call.x.dims) - 1
    # Two parts that were stacked as places see different things, as the channels of joined branches do.
    uneven = bool(set(call.x.dims[last]) & call.x.position_atoms)
    state = call.x.reduced([last])
    return replace(state, dims=state.dims[:-1], mixed=state.mixed or uneven)


def reshape(call: Call) -> State:
    """The same elements in row-major order under another shape."""
    if prod(call.shape()) != prod(call.graph.values[call.node.reads[0]].shape):
        # x.view(dtype) of another size: bytes of neighbours in the last dimension become one element.
        rows = call.x.reduced([len(call.x.dims) - 1])
        return broadcast([rows], call.shape()).flagged("upper bound")
    return reshaped(call.x, call.shape())


def expand(call: Call) -> State:
    """Dimensions of length 1 repeat."""
    return expanded(call.x, call.shape())


def permute(call: Call) -> State:
    """Dimensions in another order."""
    return call.x.permuted([d % len(call.x.dims) for d in call.arguments["dims"]])


def transpose(call: Call) -> State:
    """Two dimensions change places; `t` has no arguments."""
    rank = len(call.x.dims)
    if rank < 2:
        return call.x
    order = list(range(rank))
    a, b = call.arguments.get("dim0", 0) % rank, call.arguments.get("dim1", 1) % rank
    order[a], order[b] = order[b], order[a]
    return call.x.permuted(order)


def unsqueeze(call: Call) -> State:
    """A new dimension of length 1."""
    dim = call.arguments["dim"] % len(call.shape())
    dims = call.x.dims
    return replace(call.x, dims=(*dims[:dim], (), *dims[dim:]))


def squeeze(call: Call) -> State:
    """Dimensions of length 1 vanish; what they carried moves to a neighbour."""
    return reshaped(call.x, call.shape())


def pixel_shuffle(call: Call) -> State:
    """(C r r, H, W) -> (C, H r, W r): blocks of channels become places."""
    *batch, _, height, width = call.x.shape
    channels, factor = call.shape()[-3], call.arguments["upscale_factor"]
    state = call.x.flagged("upper bound") if call.x.mixed else call.x
    state = reshaped(state, (*batch, channels, factor, factor, height, width))
    b = len(batch)
    state = state.permuted([*range(b), b, b + 3, b + 1, b + 4, b + 2])
    state = reshaped(state, call.shape())
    places = {atom: Atom(atom.size) for dim in state.dims[-2:] for atom in dim if atom.channel}
    return state.renamed(places).merged(len(state.dims) - 2).merged(len(state.dims) - 1)


def pixel_unshuffle(call: Call) -> State:
    """(C, H r, W r) -> (C r r, H, W): places of a block become channels."""
    *batch, channels, _, _ = call.x.shape
    height, width = call.shape()[-2:]
    factor = call.arguments["downscale_factor"]
    state = reshaped(call.x, (*batch, channels, height, factor, width, factor))
    b = len(batch)
    state = state.permuted([*range(b), b, b + 2, b + 4, b + 1, b + 3])
    dims = (*state.dims[:b], sum(state.dims[b : b + 3], ()), *state.dims[b + 3 :])
    return replace(state, dims=dims)


def unfold(call: Call) -> State:
    """tensor.unfold: windows of one dimension, their places in a new last dimension."""
    a = call.arguments
    dim = a["dimension"] % len(call.x.dims)
    size, step = a["size"], a["step"]
    n_out = call.shape()[dim]
    state = call.x
    if state.dims[dim]:
        state = state.along(dim, geometry.places(state.shape[dim], n_out, size, step, 0, 1))
    else:
        state = state.reduced([dim]).resized(dim, n_out * size)
    split = reshaped(state, (*state.shape[:dim], n_out, size, *state.shape[dim + 1 :]))
    order = [d for d in range(len(split.dims)) if d != dim + 1] + [dim + 1]
    return split.permuted(order)


def im2col(call: Call) -> State:
    """F.unfold: windows as columns. (C, H, W) -> (C kh kw, h w), each place of the window apart."""
    a = call.arguments
    state = call.x
    windows = []
    for axis in range(2):
        k, d, p, s = (a[key][axis] for key in ("kernel_size", "dilation", "padding", "stride"))
        n = state.shape[2 + axis]
        n_out = (n + 2 * p - d * (k - 1) - 1) // s + 1
        state = state.along(2 + axis, geometry.places(n, n_out, k, s, p, d))
        windows += [n_out, k]
    height, kh, width, kw = windows
    batch, channels = state.shape[:2]
    split = reshaped(state, (batch, channels, height, kh, width, kw)).permuted([0, 1, 3, 5, 2, 4])
    return reshaped(split, call.shape())


def embedding(call: Call) -> State:
    """Return the state of looked-up rows: each token's place sees that token; the features are new."""
    tokens = call.state(call.arguments["indices"])
    opened = replace(tokens, dims=(*tokens.dims, ()))
    return opened.resized(len(tokens.dims), call.shape()[-1], channel=True)
