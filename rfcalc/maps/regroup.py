"""Views and broadcasting on states: the same atoms under other dimensions. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

from rfcalc.maps.paths import Dim, size_of
from rfcalc.maps.state import Atom, State, constant, join

__all__ = ["broadcast", "expanded", "reshaped"]


def reshaped(state: State, shape: Sequence[int]) -> State:
    """Return the state of a view with another shape of the same (row-major) elements."""
    old = state.shape
    shape = tuple(shape)
    if old == shape:
        return state
    if not state.paths or 0 in shape:
        # No elements (no boxes were found, say): nothing to depend on anything, and 0 has no factors.
        return replace(constant(shape), flags=state.flags)
    # Dimensions that both shapes begin or end with are left alone: lengths of 1 stay where they belong.
    head = 0
    while head < min(len(old), len(shape)) and old[head] == shape[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(shape)) - head and old[-1 - tail] == shape[-1 - tail]:
        tail += 1
    atoms = [a for dim in state.dims[head : len(old) - tail] for a in dim]
    dims: list[Dim] = []
    for group, sizes in _groups(atoms, list(shape[head : len(shape) - tail])):
        state, made = _regrouped(state, group, sizes)
        dims += made
    return replace(state, dims=(*state.dims[:head], *dims, *state.dims[len(state.dims) - tail :]))


def _groups(atoms: list[Atom], sizes: list[int]) -> list[tuple[list[Atom], list[int]]]:
    """Return the shortest runs of atoms and of new lengths that have the same product, in order."""
    groups = []
    atoms, sizes = list(atoms), list(sizes)
    while sizes:
        lengths = [sizes.pop(0)]
        group: list[Atom] = []
        while size_of(group) != prod(lengths) or (
            lengths == [1] and not group and atoms and atoms[0].size == 1
        ):
            if size_of(group) < prod(lengths) or not sizes:
                group.append(atoms.pop(0))
            else:
                lengths.append(sizes.pop(0))
        if not sizes:
            group += atoms
        groups.append((group, lengths))
    return groups


def _regrouped(state: State, group: list[Atom], sizes: list[int]) -> tuple[State, list[Dim]]:
    """Return dimensions of given lengths made up of a run of atoms, split where the lengths ask for it."""
    dims: list[Dim] = []
    atoms = list(group)
    split = state
    for size in sizes:
        dim: list[Atom] = []
        room = size
        while atoms and (room > 1 or (atoms[0].size == 1 and size > 1)):
            atom = atoms.pop(0)
            if room % atom.size == 0:
                dim.append(atom)
                room //= atom.size
            elif atom.size % room == 0:
                split, pieces = split.split_atom(atom, (room, atom.size // room))
                dim.append(pieces[0])
                atoms.insert(0, pieces[1])
                room = 1
            else:
                return _as_one(state, group, sizes)
        dims.append(tuple(dim))
    dims[-1] = (*dims[-1], *atoms)
    return split, dims


def _as_one(state: State, group: list[Atom], sizes: list[int]) -> tuple[State, list[Dim]]:
    """Return dimensions whose borders cut through the atoms: those become one, and that is cut."""
    alone = replace(state, dims=(*state.dims, tuple(group))).merged(len(state.dims))
    cut, pieces = alone.split_atom(alone.dims[-1][0], tuple(sizes))
    return replace(cut, dims=cut.dims[:-1]), [(piece,) for piece in pieces]


def expanded(state: State, shape: Sequence[int]) -> State:
    """Return the state broadcast to a shape: dimensions of length 1 repeat."""
    shape = tuple(shape)
    if state.shape == shape:
        return state
    state = replace(state, dims=((),) * (len(shape) - len(state.dims)) + state.dims)
    for d, n in enumerate(shape):
        if size_of(state.dims[d]) != n:
            state = state.reduced([d]).resized(d, n)
    return state


def broadcast(states: Sequence[State], shape: Sequence[int], *, branches: bool = True) -> State:
    """Return the union of operands after broadcasting them to `shape`: an elementwise op's result.

    Args:
        states: The operands.
        shape: Of the result.
        branches: Whether to judge their alignment; see `join`.
    """
    shape = tuple(shape)
    flags = frozenset[str]().union(*(s.flags for s in states))
    operands = [s for s in states if s.paths]
    if not operands:
        return replace(constant(shape), flags=flags)
    first = operands[0]
    if all(s.dims == first.dims for s in operands[1:]):
        return expanded(join(operands, branches=branches) if len(operands) > 1 else first, shape).flagged(
            *flags
        )
    merged = expanded(first, shape)
    for other in operands[1:]:
        if other.dims == merged.dims:
            merged = join([merged, other], branches=branches)
            continue
        merged, other = unified(merged, expanded(other, shape))
        merged = join([merged, other], branches=branches)
    return merged.flagged(*flags)


def unified(one: State, two: State) -> tuple[State, State]:
    """Return two states of the same shape with the same atoms in every dimension."""
    two = two.refreshed()
    names: dict[Atom, Atom] = {}
    for d in range(len(one.dims)):
        sizes = [[a.size for a in s.dims[d] if a.size > 1] for s in (one, two)]
        if sizes[0] != sizes[1]:
            one, two = _refined(one, two, d)
        if not one.dims[d]:
            one = replace(one, dims=(*one.dims[:d], two.dims[d], *one.dims[d + 1 :]))
            continue
        if len(one.dims[d]) != len(two.dims[d]):
            one, two = one.merged(d), two.merged(d)
        if not two.dims[d]:
            two = replace(two, dims=(*two.dims[:d], one.dims[d], *two.dims[d + 1 :]))
            continue
        names.update(zip(two.dims[d], one.dims[d], strict=True))
    return one, two.renamed(names)


def _refined(one: State, two: State, d: int) -> tuple[State, State]:
    """Return both states with dimension d cut at the borders of either, or as one atom."""
    cuts = sorted(
        {prod(a.size for a in s.dims[d][i:]) for s in (one, two) for i in range(len(s.dims[d]) + 1)}
    )
    if any(high % low for low, high in pairwise(cuts)):
        return one.merged(d), two.merged(d)
    out = []
    for state in (one, two):
        for atom in state.dims[d]:
            inner = prod(a.size for a in state.dims[d][state.dims[d].index(atom) + 1 :])
            inside = [c // inner for c in cuts if inner <= c <= inner * atom.size and c % inner == 0]
            pieces = tuple(high // low for low, high in pairwise(inside))[::-1]
            if len(pieces) > 1:
                state, _ = state.split_atom(atom, pieces)
        out.append(state)
    return out[0], out[1]
