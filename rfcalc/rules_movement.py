"""Rules of ops that move data: views, slices, joins along a dimension, and any other, run on positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch

from rfcalc import geometry
from rfcalc.call import Call
from rfcalc.graph import Ref
from rfcalc.indexmap import Extent, IndexMap, Reads
from rfcalc.recorder import map_tensors
from rfcalc.regroup import broadcast, expanded, reshaped, unified
from rfcalc.state import Atom, Part, Path, State, constant, join, size_of

__all__: list[str] = []

MAX_ELEMENTS = 1 << 24
MAX_POSITIONS = 1 << 18


# Views --------------------------------------------------------------------------------------------------------


def same(call: Call) -> State:
    """Copies and aliases: nothing moves."""
    return call.x


def reshape(call: Call) -> State:
    """The same elements in row-major order under another shape."""
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


# Along one dimension --------------------------------------------------------------------------------------------


def pick(state: State, dim: int, indices: Sequence[int]) -> State:
    """Return some indices of one dimension, in that order."""
    atoms = state.dims[dim]
    size = size_of(atoms)
    if list(indices) == list(range(size)):
        return state
    if not state.paths:
        return replace(
            constant((*state.shape[:dim], len(indices), *state.shape[dim + 1 :])), flags=state.flags
        )
    if not set(atoms) & state.position_atoms:
        out = state.resized(dim, len(indices), channel=any(a.channel for a in atoms))
        return out.flagged("upper bound") if state.mixed else out
    inner = size_of(atoms[1:])
    if len(atoms) > 1 and _is_blocks(indices, inner):
        # Whole blocks of the first factor, e.g. a chunk of channels that carry positions.
        blocks = [i // inner for i in indices[::inner]]
        lead = replace(state, dims=(*state.dims[:dim], atoms[:1], atoms[1:], *state.dims[dim + 1 :]))
        lead = pick(lead, dim, blocks)
        return replace(
            lead, dims=(*lead.dims[:dim], lead.dims[dim] + lead.dims[dim + 1], *lead.dims[dim + 2 :])
        )
    return state.along(dim, geometry.wrapped(size, tuple(indices)) or Reads.gather(size, tuple(indices)))


def _is_blocks(indices: Sequence[int], inner: int) -> bool:
    if len(indices) % inner:
        return False
    return all(
        i % inner == k % inner and i // inner == indices[k - k % inner] // inner
        for k, i in enumerate(indices)
    )


def _dim(call: Call) -> int:
    return int(call.arguments.get("dim") or 0) % len(call.x.dims)


def slice_(call: Call) -> State:
    """start:end:step of one dimension."""
    a, dim = call.arguments, _dim(call)
    chosen = range(call.x.shape[dim])[slice(a.get("start"), a.get("end"), a.get("step") or 1)]
    return pick(call.x, dim, chosen)


def _without(state: State, dim: int) -> State:
    """Return a state without a dimension of length 1 that may still carry a position."""
    atoms = state.dims[dim]
    if set(atoms) & state.position_atoms:
        paths = []
        for path in state.paths:
            parts = []
            for part in path.parts:
                dims = tuple(i for i, a in enumerate(part.atoms) if a in atoms)
                rest = tuple(a for a in part.atoms if a not in atoms)
                if dims:
                    part = Part(rest, _at_one_place(part.map, tuple(a.size for a in rest)))
                parts.append(part)
            paths.append(Path(tuple(parts)))
        state = replace(state, paths=tuple(paths))
    return replace(state, dims=(*state.dims[:dim], *state.dims[dim + 1 :]))


def _at_one_place(mapped: IndexMap, shape: tuple[int, ...]) -> IndexMap:
    """Return a map at the one place that is left of some dimensions: local still, but without a jump."""
    plane = mapped.plane
    if shape == () and not isinstance(plane, Extent):
        low, bits = plane.at(0)
        plane = type(plane)(0, ((low, bits),))
    return mapped.reshaped(shape) if plane is mapped.plane else IndexMap(mapped.seen, shape, plane)


def select(call: Call) -> State:
    """One index of a dimension, which vanishes."""
    dim = _dim(call)
    index = call.arguments["index"] % call.x.shape[dim]
    return _without(pick(call.x, dim, [index]), dim)


def pieces(call: Call) -> list[State]:
    """Split and unbind: consecutive pieces of one dimension."""
    dim = _dim(call)
    unbind = call.node.name == "unbind"
    out, at = [], 0
    for i in range(len(call.node.outputs)):
        size = 1 if unbind else call.shape(i)[dim]
        piece = pick(call.x, dim, range(at, at + size))
        out.append(_without(piece, dim) if unbind else piece)
        at += size
    return out


def flip(call: Call) -> State:
    """Some dimensions reversed."""
    state = call.x
    for dim in call.arguments["dims"]:
        dim %= len(state.dims)
        if set(state.dims[dim]) & state.position_atoms:
            state = state.along(dim, geometry.flip(state.shape[dim]))
    return state


def roll(call: Call) -> State:
    """Some dimensions shifted cyclically."""
    state, a = call.x, call.arguments
    if not a.get("dims"):
        return on_positions(call)
    for dim, shift in zip(a["dims"], a["shifts"], strict=True):
        dim %= len(state.dims)
        if set(state.dims[dim]) & state.position_atoms:
            state = state.along(dim, geometry.roll(state.shape[dim], shift))
    return state


def index_select(call: Call) -> State:
    """Chosen indices of one dimension."""
    chosen = call.content(call.node.args[2])
    if chosen is None:
        return call.whole("data-dependent")
    return pick(call.x, _dim(call), [int(i) for i in chosen.tolist()])


def index(call: Call) -> State:
    """Advanced indexing: one known vector is a pick, anything else known runs on positions."""
    indices = call.arguments["indices"]
    given = [(d, ref) for d, ref in enumerate(indices) if ref is not None]
    contents = [call.content(ref) for _, ref in given]
    if any(c is None for c in contents):
        return call.whole("data-dependent")
    first = contents[0]
    if len(given) == 1 and first is not None and first.dim() == 1 and first.dtype != torch.bool:
        dim = given[0][0]
        size = call.x.shape[dim]
        return pick(call.x, dim, [int(i) % size for i in first.tolist()])
    return on_positions(call)


def glu(call: Call) -> State:
    """Gated linear unit: each output reads its place in both halves of a dimension."""
    dim = call.arguments.get("dim", -1) % len(call.x.dims)
    half = call.x.shape[dim] // 2
    if not set(call.x.dims[dim]) & call.x.position_atoms:
        return call.x.resized(dim, half, channel=True)
    return call.x.along(dim, Reads(2 * half, tuple((o, o + half) for o in range(half))))


def gather(call: Call) -> State:
    """Elements chosen along one dimension by a tensor of indices."""
    chosen = next(ref for ref in call.node.args[1:] if isinstance(ref, Ref))
    if call.content(chosen) is not None:
        return on_positions(call)
    dim, shape = _dim(call), call.shape()
    parts = [expanded(call.x.reduced([dim]), tuple(1 if d == dim else n for d, n in enumerate(shape)))]
    if call.x.shape[:dim] + call.x.shape[dim + 1 :] != shape[:dim] + shape[dim + 1 :]:
        return call.whole("data-dependent")
    return broadcast([*parts, call.state(chosen)], shape).flagged("data-dependent")


def scatter(call: Call) -> State:
    """Writing at indexed places: what was there stays, and any place may receive any written value."""
    shape = call.shape()
    parts = [call.x]
    for value in call.node.reads[1:]:
        state = call.states[value]
        parts.append(State((), state.reduced(range(len(state.dims))).paths, state.flags))
    return broadcast(parts, shape).flagged("upper bound")


def cat(call: Call) -> State:
    """Concatenation along channels is a union, along space each piece keeps its own place."""
    tensors = [call.state(ref) for ref in call.arguments["tensors"]]
    rank, shape = len(call.shape()), call.shape()
    dim = (call.arguments.get("dim") or 0) % rank
    tensors = [t for t in tensors if len(t.dims) == rank]
    spatial = any(set(t.dims[dim]) & t.position_atoms for t in tensors)
    tokens = dim != 1 and not any(a.channel for t in tensors for a in t.dims[dim])
    if not spatial and not tokens:
        parts = [expanded(t, t.shape).reduced([dim]).resized(dim, shape[dim], channel=True) for t in tensors]
        out = broadcast([p for p in parts if p.paths] or parts, shape)
        uneven = any(not _same_view(p, out) for p in parts)
        return replace(out, mixed=out.mixed or uneven, flags=out.flags.union(*(t.flags for t in tensors)))
    if not any(t.paths for t in tensors):
        return constant(shape)
    if sum(bool(t.paths) for t in tensors) == 1:
        return _padded(tensors, dim)
    placed, at = [], 0
    for t in tensors:
        n = t.shape[dim]
        if t.paths:
            places = [o - at for o in range(shape[dim])]
            # Not one periodic map: the pieces meet at places that depend on the size.
            reads = Reads(
                n, tuple((i,) if 0 <= i < n else () for i in places), flags=frozenset({"size-dependent"})
            )
            placed.append(t.along(dim, reads))
        at += n
    out = placed[0]
    for other in placed[1:]:
        if other.dims != out.dims:
            out, other = unified(out, other)
        paths = (*out.paths, *other.paths)
        out = replace(out, flags=out.flags | other.flags, mixed=out.mixed or other.mixed).with_paths(paths)
    return out


def _padded(tensors: list[State], dim: int) -> State:
    """Return one tensor joined with constants: padding by hand, a class token."""
    at = 0
    for t in tensors:
        if t.paths:
            before = at
            state = t
        at += t.shape[dim]
    n = state.shape[dim]
    reads = Reads.gather(n, [o - before if before <= o < before + n else -1 for o in range(at)])
    if set(state.dims[dim]) & state.position_atoms:
        reads = replace(reads, period=1, shift=1, taps=((-before,),), flags=frozenset())
    return state.along(dim, reads)


def _same_view(one: State, two: State) -> bool:
    if one.paths is two.paths:
        return True
    if len(one.paths) != len(two.paths) or one.dims[2:] != two.dims[2:]:
        return False
    return all(any(p is q or (p.covers(q) and q.covers(p)) for q in two.paths) for p in one.paths)


def stack(call: Call) -> State:
    """A new dimension whose indices are the operands; they count as channels."""
    tensors = [call.state(ref) for ref in call.arguments["tensors"]]
    rank = len(call.shape())
    dim = (call.arguments.get("dim") or 0) % rank
    parts = [replace(t, dims=(*t.dims[:dim], (), *t.dims[dim:])) for t in tensors]
    one = tuple(1 if d == dim else n for d, n in enumerate(call.shape()))
    out = broadcast([p for p in parts if p.paths] or parts, one).resized(dim, call.shape()[dim], channel=True)
    return replace(out, mixed=True)


# Space and channels ----------------------------------------------------------------------------------------------


def pixel_shuffle(call: Call) -> State:
    """(C r r, H, W) -> (C, H r, W r): blocks of channels become places."""
    *batch, _, height, width = call.x.shape
    channels, factor = call.shape()[-3], call.arguments["upscale_factor"]
    state = call.x.flagged("upper bound") if call.x.mixed else call.x
    state = reshaped(state, (*batch, channels, factor, factor, height, width))
    b = len(batch)
    state = state.permuted([*range(b), b, b + 3, b + 1, b + 4, b + 2])
    return reshaped(state, call.shape())


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
    n = call.x.shape[dim]
    state = call.x.along(dim, Reads.gather(n, [o * step + t for o in range(n_out) for t in range(size)]))
    if state is call.x or not state.dims[dim]:
        state = call.x.reduced([dim]).resized(dim, n_out * size) if not call.x.dims[dim] else state
    split = reshaped(state, (*state.shape[:dim], n_out, size, *state.shape[dim + 1 :]))
    order = [d for d in range(len(split.dims)) if d != dim + 1] + [dim + 1]
    return split.permuted(order)


def im2col(call: Call) -> State:
    """F.unfold: windows as columns; positions are the windows' row-major index."""
    a = call.arguments
    state = call.x
    grid = []
    for axis in range(2):
        k, d, p, s = (a[key][axis] for key in ("kernel_size", "dilation", "padding", "stride"))
        n = state.shape[2 + axis]
        n_out = (n + 2 * p - d * (k - 1) - 1) // s + 1
        grid.append(n_out)
        state = state.along(2 + axis, geometry.window(n, n_out, k, s, p, d))
    state = state.reduced([1]).resized(1, call.shape()[1], channel=True)
    uneven = replace(state, mixed=True)
    return replace(uneven, dims=(*state.dims[:2], state.dims[2] + state.dims[3]))


# Writing into a tensor --------------------------------------------------------------------------------------------


def copy(call: Call) -> State:
    """copy_ and its like: the source takes the place of what was there."""
    return expanded(call.state(call.node.args[1]), call.shape())


def put_view(call: Call) -> State:
    """A changed view goes back into the tensor that it is a view of."""
    base, child = (call.state(ref) for ref in call.node.args[:2])
    func, args, kwargs = call.node.args[2]
    shape = call.shape()
    if prod(child.shape) == prod(shape):
        flat = _undone(child, func, args, base)
        if flat is not None:
            return flat
    if prod(shape) > MAX_ELEMENTS:
        return broadcast(
            [base.reduced(range(len(shape))), child.reduced(range(len(child.dims)))], shape
        ).flagged("upper bound")
    return _written(base, child, lambda ids: func(ids, *args[1:], **kwargs), shape)


def _undone(child: State, func: Any, args: tuple[Any, ...], base: State) -> State | None:
    """Return the state of a base whose view covers it wholly."""
    name = func.overloadpacket.__name__
    rank = len(base.dims)
    if name in (
        "view",
        "_unsafe_view",
        "unsqueeze",
        "squeeze",
        "alias",
        "detach",
        "_reshape_alias",
        "reshape",
    ):
        return reshaped(child, base.shape)
    if name in ("permute", "transpose", "t"):
        order = list(range(rank))
        if name == "permute":
            order = [d % rank for d in args[1]]
        else:
            a, b = (args[1] % rank, args[2] % rank) if name == "transpose" else (0, rank - 1)
            order[a], order[b] = order[b], order[a]
        return child.permuted([order.index(d) for d in range(rank)])
    return child if name in ("slice", "expand") else None


def _written(base: State, child: State, view: Callable[[torch.Tensor], Any], shape: tuple[int, ...]) -> State:
    """Return a base after its view was overwritten: what the view covers comes from it, the rest stays."""
    ids = torch.arange(prod(shape)).reshape(shape)
    target = view(ids)
    if isinstance(target, tuple | list):
        return broadcast([base, child.reduced(range(len(child.dims)))], shape).flagged("upper bound")
    source = torch.full((prod(shape),), -1)
    source[target.reshape(-1)] = torch.arange(target.numel())
    source = source.reshape(shape)
    moved = _gathered(child, source, flags=frozenset())
    hidden = _varying(source >= 0)
    stays = source < 0
    atoms, paths = [], []
    base_split = base
    for d in hidden:
        base_split = base_split.merged(d)
        if not base_split.dims[d]:
            base_split = base_split.resized(d, shape[d])
        atoms.append(base_split.dims[d][0])
    keep = stays[tuple(slice(None) if d in hidden else 0 for d in range(len(shape)))].reshape(-1).tolist()
    paths = [p.kept(tuple(atoms), tuple(keep)) for p in base_split.paths]
    rest = replace(base_split, paths=tuple(p for p in paths if not p.is_empty))
    if not rest.paths:
        return moved
    if not moved.paths:
        return rest
    if moved.dims != rest.dims:
        rest, moved = unified(rest, moved)
    flags = rest.flags | moved.flags
    return replace(rest, flags=flags, mixed=rest.mixed or moved.mixed).with_paths((*rest.paths, *moved.paths))


# Anything else ----------------------------------------------------------------------------------------------------


def on_positions(call: Call) -> State:
    """Run the op itself on a tensor of positions: exact for every op that only moves data."""
    state = call.x
    if prod(state.shape) > MAX_ELEMENTS or prod(call.shape()) > MAX_ELEMENTS:
        return call.whole("upper bound")
    ids = torch.arange(prod(state.shape), dtype=torch.int64).reshape(state.shape) + 1
    first = call.node.reads[0]

    def tensors(tree: Any) -> Any:
        if isinstance(tree, Ref):
            if tree.value == first:
                return ids
            content = call.graph.values[tree.value].constant
            if content is None:
                raise LookupError
            return content.cpu()
        if isinstance(tree, list | tuple):
            return [tensors(t) for t in tree]
        return tree

    try:
        args = tensors(list(call.node.args))
        kwargs = {k: tensors(v) for k, v in call.node.kwargs.items()}
        source = call.node.op(*args, **map_tensors(lambda t: t, kwargs))
    except (LookupError, RuntimeError, NotImplementedError):
        return call.whole("data-dependent")
    return _gathered(state, source - 1, state.flags)


def _varying(tensor: torch.Tensor) -> list[int]:
    """Return the dimensions along which a tensor is not constant."""
    return [d for d in range(tensor.dim()) if not bool((tensor == tensor.select(d, 0).unsqueeze(d)).all())]


def _gathered(state: State, source: torch.Tensor, flags: frozenset[str]) -> State:
    """Return the state of elements picked by their row-major number in `state`; negative: nothing."""
    shape = tuple(source.shape)
    if not state.paths:
        return constant(shape)
    position = state.position_atoms
    # Numbers of places, channels and batch left out: what remains constant along a dimension does not matter.
    place = torch.zeros_like(source)
    rest = source.clamp(min=0)
    inside = [a for dim in state.dims for a in dim]
    step = 1
    order: list[Atom] = []
    for atom in reversed(inside):
        if atom in position:
            place += rest % atom.size * step
            step *= atom.size
            order.insert(0, atom)
        rest = rest // atom.size
    place[source < 0] = -1
    dims = _varying(place)
    reduced = place[tuple(slice(None) if d in dims else 0 for d in range(len(shape)))]
    if reduced.numel() > MAX_POSITIONS:
        whole = replace(state.reduced(range(len(state.dims))), dims=())
        return expanded(whole, shape).flagged("upper bound", *flags)
    atoms = tuple(Atom(shape[d], channel=False) for d in dims)
    out_dims: list[tuple[Atom, ...]] = []
    for d, n in enumerate(shape):
        out_dims.append(
            (atoms[dims.index(d)],) if d in dims else () if n == 1 else (Atom(n, channel=d == 1),)
        )
    places = [int(i) for i in reduced.reshape(-1).tolist()]
    sizes = tuple(a.size for a in order)
    paths = []
    for path in state.paths:
        parts = [_picked(part, order, sizes, places, atoms) for part in path.parts]
        flags |= frozenset[str]().union(*(f for _, f in parts))
        paths.append(Path(tuple(part for part, _ in parts)).kept(atoms, tuple(i >= 0 for i in places)))
    out = State(tuple(out_dims), (), state.flags | flags, state.mixed)
    return out.with_paths(p for p in paths if not p.is_empty)


def _picked(
    part: Part, order: list[Atom], sizes: tuple[int, ...], places: list[int], atoms: tuple[Atom, ...]
) -> tuple[Part, frozenset[str]]:
    """Return one part at picked places, over as few of the new atoms as it depends on, and flags of the pick."""
    strides, step = {}, 1
    for atom, size in zip(reversed(order), reversed(sizes), strict=True):
        strides[atom] = (step, size)
        step *= size
    local = []
    for place in places:
        index = 0
        for atom in part.atoms:
            stride, size = strides[atom]
            index = index * size + max(place, 0) // stride % size
        local.append(index)
    kept = list(atoms)
    shape = [a.size for a in atoms]
    table = torch.tensor(local).reshape(shape)
    for d in range(len(atoms) - 1, -1, -1):
        constant_along = bool((table == table.select(d, 0).unsqueeze(d)).all()) if shape[d] > 1 else False
        if constant_along:
            table = table.select(d, 0)
            kept.pop(d)
    indices = [int(i) for i in table.reshape(-1).tolist()]
    reads = Reads.gather(len(part.map.seen), indices)
    mapped = part.map.reshaped((len(part.map.seen),)).through(reads)
    flags = reads.flags if len(kept) < 2 else frozenset({"size-dependent"})
    return Part(tuple(kept), mapped.reshaped(tuple(a.size for a in kept))), flags
