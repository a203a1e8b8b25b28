"""Rules of ops that move data along one dimension: slices, picks, joins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from rfcalc.maps import geometry
from rfcalc.maps.indexmap import Extent, IndexMap, Reads
from rfcalc.maps.moved import NOWHERE
from rfcalc.maps.paths import MAX_PATHS, size_of
from rfcalc.maps.regroup import broadcast, expanded, unified
from rfcalc.maps.rejoined import in_pieces, rejoined
from rfcalc.maps.state import Atom, Part, Path, State, constant
from rfcalc.ops.call import Call
from rfcalc.ops.positions import on_positions
from rfcalc.trace.graph import Ref

__all__: list[str] = []


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


def _dim(call: Call, rank: int | None = None) -> int:
    return int(call.arguments.get("dim") or 0) % (len(call.x.dims) if rank is None else rank)


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
    if plane is mapped.plane:
        return mapped.reshaped(shape)
    # The step is not lost: rows that are picked one by one may be stacked again.
    return IndexMap(mapped.seen, shape, plane, mapped, (0,))


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


def channel_parts(call: Call) -> list[tuple[Ref, State]]:
    """Return the operands of a concatenation along channels, each over the result's channels; else none."""
    refs = [ref for ref in call.arguments["tensors"] if len(call.state(ref).dims) == len(call.shape())]
    tensors = [call.state(ref) for ref in refs]
    shape = call.shape()
    dim = _dim(call, len(shape))
    spatial = any(set(t.dims[dim]) & t.position_atoms for t in tensors)
    tokens = dim != 1 and not any(a.channel for t in tensors for a in t.dims[dim])
    if spatial or tokens:
        return []
    parts = [t.reduced([dim]).resized(dim, shape[dim], channel=True) for t in tensors]
    return list(zip(refs, parts, strict=True))


def cat(call: Call) -> State:
    """Concatenation along channels is a union, along space each piece keeps its own place."""
    shape = call.shape()
    parts = [part for _, part in channel_parts(call)]
    if parts:
        out = broadcast([p for p in parts if p.paths] or parts, shape)
        uneven = any(not _same_view(p, out) for p in parts)
        return replace(out, mixed=out.mixed or uneven, flags=out.flags.union(*(p.flags for p in parts)))
    dim = _dim(call, len(shape))
    tensors = [call.state(ref) for ref in call.arguments["tensors"]]
    tensors = [t for t in tensors if len(t.dims) == len(shape)]
    if not any(t.paths for t in tensors):
        return constant(shape)
    if sum(bool(t.paths) for t in tensors) == 1:
        return _padded(tensors, dim)
    placed: list[State] = []
    owners: list[int] = []
    for t in tensors:
        n = t.shape[dim]
        if t.paths:
            owners += [len(placed)] * n
            placed.append(t.along(dim, geometry.piece(n, len(owners) - n, shape[dim])))
        else:
            owners += [NOWHERE] * n
    placed = _over_the_same(placed)
    whole = rejoined(placed, dim, owners)
    if whole is not None:
        return whole
    # Not one periodic map: the pieces meet at places that depend on the size.
    return _united([in_pieces(piece, dim, number, owners) for number, piece in enumerate(placed)])


def _united(pieces: list[State]) -> State:
    """Return the union of states over the same atoms."""
    flags = frozenset[str]().union(*(piece.flags for piece in pieces))
    mixed = any(piece.mixed for piece in pieces)
    paths = [path for piece in pieces for path in piece.paths]
    return replace(pieces[0], flags=flags, mixed=mixed).with_paths(paths)


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
        reads = replace(reads, period=1, shift=1, taps=((-before,),))
    return state.along(dim, reads)


def _same_view(one: State, two: State) -> bool:
    """Return whether the same places of two tensors see the same."""
    if len(one.paths) != len(two.paths) or _placed(one) != _placed(two):
        return False
    if one.paths is two.paths:
        return True
    return all(any(p is q or (p.covers(q) and q.covers(p)) for q in two.paths) for p in one.paths)


def of_parts(call: Call) -> State:
    """A complex tensor of a real and an imaginary part, which may see different things."""
    out = call.pointwise()
    uneven = any(not _same_view(part, out) for part in call.inputs if part.paths)
    return replace(out, mixed=out.mixed or uneven)


def _placed(state: State) -> list[tuple[int, tuple[Atom, ...]]]:
    """Return the dimensions that hold places, with their numbers."""
    used = state.position_atoms
    return [(d, dim) for d, dim in enumerate(state.dims) if any(atom in used for atom in dim)]


def stack(call: Call) -> State:
    """A new dimension: channels where the operands see the same, places (time steps) where they differ."""
    tensors = [call.state(ref) for ref in call.arguments["tensors"]]
    shape = call.shape()
    dim = _dim(call, len(shape))
    first = next((t for t in tensors if t.paths), tensors[0])
    if not all(_same_view(t, first) for t in tensors):
        tensors = _over_the_same(tensors)
        return _in_order(tensors, dim) or _in_places(tensors, dim)
    parts = [replace(t, dims=(*t.dims[:dim], (), *t.dims[dim:])) for t in tensors]
    one = tuple(1 if d == dim else n for d, n in enumerate(shape))
    return broadcast([p for p in parts if p.paths] or parts, one).resized(dim, shape[dim], channel=True)


def _over_the_same(tensors: list[State]) -> list[State]:
    """Return operands of the same shape over the same atoms."""
    first = next(t for t in tensors if t.paths)
    for t in tensors:
        if t.paths and t.dims != first.dims:
            first, _ = unified(first, t)
    return [unified(first, t)[1] if t.paths and t.dims != first.dims else t for t in tensors]


def _in_order(tensors: list[State], dim: int) -> State | None:
    """Return places that were picked one by one and are stacked again as the dimension that they were.

    None where the tensors are anything else: branches, steps of a recurrence, shifted copies.
    """
    live = [t for t in tensors if t.paths]
    new, numbers = Atom(len(tensors)), iter(range(len(live)))
    owners = [next(numbers) if t.paths else NOWHERE for t in tensors]
    dims = (*live[0].dims[:dim], (new,), *live[0].dims[dim:])
    whole = rejoined([replace(t, dims=dims) for t in live], dim, owners)
    if whole is None or not any(new in path.atoms() for path in whole.paths):
        return None
    parts = [part for path in whole.paths for part in path.parts if new in part.atoms]
    return whole if all(part.atoms == (new,) for part in parts) else None


def _in_places(tensors: list[State], dim: int) -> State:
    """Return tensors along a new dimension, each at its own index: no two paths meet there."""
    first = next(t for t in tensors if t.paths)
    new = Atom(len(tensors), branch=True)
    flags = frozenset[str]().union(*(t.flags for t in tensors))
    dims = (*first.dims[:dim], (new,), *first.dims[dim:])
    out = State(dims, (), flags, any(t.mixed for t in tensors))
    apart = [
        path.kept((new,), tuple(k == i for k in range(len(tensors))))
        for i, t in enumerate(tensors)
        for path in t.paths
    ]
    if len(apart) <= MAX_PATHS:
        return out.with_paths(apart)
    paths = []
    for local in (True, False):
        chosen = [[p for p in t.paths if p.is_local == local] for t in tensors]
        for i in range(max(len(c) for c in chosen)):
            paths.append(_side_by_side([c[i] if i < len(c) else None for c in chosen], new))
    return out.with_paths(paths)


def _side_by_side(paths: list[Path | None], new: Atom) -> Path:
    """Return one path over a new leading atom: at each of its indices what that operand's path sees."""
    known = [p for p in paths if p is not None]
    parts = []
    for axis in range(len(known[0].parts)):
        atoms = tuple(dict.fromkeys(a for p in known for a in p.parts[axis].atoms))
        maps = [p.parts[axis].spread(atoms).map if p is not None else None for p in paths]
        nothing = (0,) * size_of(atoms)
        seen = tuple(bits for m in maps for bits in (nothing if m is None else m.seen))
        plane = None
        for m in maps:
            if m is not None:
                extent = m.plane if isinstance(m.plane, Extent) else m.plane.extent
                plane = extent if plane is None else plane.merged(extent)
        assert plane is not None
        over = (new, *atoms)
        parts.append(Part(over, IndexMap(seen, tuple(a.size for a in over), plane)))
    return Path(tuple(parts))
