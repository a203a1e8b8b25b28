"""Data movement of any kind, by running the op itself on a tensor of positions; and writes into views."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import torch

from rfcalc.maps.indexmap import Reads
from rfcalc.maps.regroup import broadcast, expanded, reshaped, unified
from rfcalc.maps.state import Atom, Part, Path, State, constant
from rfcalc.ops.call import Call
from rfcalc.trace.graph import Ref

__all__ = ["copy", "on_positions", "put_view"]

MAX_ELEMENTS = 1 << 24
MAX_POSITIONS = 1 << 18


def copy(call: Call) -> State:
    """Return the state of a tensor that another one was copied into: that of the source, broadcast."""
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


def put_piece(call: Call) -> State:
    """A tensor with one slice, index or diagonal of it replaced: writing into a view, without the view."""
    base, piece = (call.state(ref) for ref in call.node.args[:2])
    view = getattr(torch.ops.aten, call.node.name.removesuffix("_scatter"))
    rest, named, shape = call.node.args[2:], call.node.kwargs, call.shape()
    if prod(shape) > MAX_ELEMENTS:
        return call.whole("upper bound")
    return _written(base, piece, lambda ids: view(ids, *rest, **named), shape)


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
        source = call.node.op(*args, **kwargs)
    except (LookupError, RuntimeError):
        # An argument is not known before the forward has run, or the op has no kernel for whole numbers.
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
        paths.append(Path(tuple(parts)).kept(atoms, tuple(i >= 0 for i in places)))
    out = State(tuple(out_dims), (), state.flags | flags, state.mixed)
    return out.with_paths(p for p in paths if not p.is_empty)


def _picked(
    part: Part, order: list[Atom], sizes: tuple[int, ...], places: list[int], atoms: tuple[Atom, ...]
) -> Part:
    """Return one part at picked places, over the new atoms that it depends on."""
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
    return Part(tuple(kept), mapped.reshaped(tuple(a.size for a in kept))).settled()
