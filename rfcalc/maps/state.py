"""State: what every element of one tensor sees of the input, as a union of paths. Knows no torch.

Each dimension of a tensor is a row-major product of atoms. Atoms that no path refers to are free: batch and
channels. Views only regroup atoms, so windows, tokens and flattened maps stay exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from rfcalc.maps.alignment import aligned
from rfcalc.maps.indexmap import IndexMap, Reads
from rfcalc.maps.paths import MAX_PATHS, merge_atoms, size_of, standard_atom, swap, union_paths
from rfcalc.maps.paths import Atom as Atom
from rfcalc.maps.paths import Dim as Dim
from rfcalc.maps.paths import Part as Part
from rfcalc.maps.paths import Path as Path
from rfcalc.maps.reduction import reduce_paths

__all__ = ["Atom", "Part", "Path", "State", "constant", "image", "join"]


@dataclass(frozen=True, eq=False)
class State:
    """What one tensor's elements see.

    Attributes:
        dims: The atoms of each dimension.
        paths: A union of products; () where nothing depends on the input.
        flags: What has happened on the way here.
        mixed: Channels at one position see different sets (joined branches): picking some of them is only
            bounded.
    """

    dims: tuple[Dim, ...]
    paths: tuple[Path, ...]
    flags: frozenset[str] = frozenset()
    mixed: bool = False

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Length of every dimension."""
        return tuple(size_of(dim) for dim in self.dims)

    @cached_property
    def position_atoms(self) -> set[Atom]:
        """The atoms that some path depends on."""
        return {atom for path in self.paths for atom in path.atoms()}

    def flagged(self, *flags: str) -> State:
        """Return the state with more flags."""
        return self if self.flags.issuperset(flags) else replace(self, flags=self.flags.union(flags))

    def with_paths(self, paths: Iterable[Path]) -> State:
        """Return the state with other paths, dominated ones dropped."""
        kept, boxed = union_paths(paths)
        return replace(self, paths=kept, flags=self.flags | {"bounding box"} if boxed else self.flags)

    def new_atom(self, dim: int, size: int) -> Atom:
        """Return an atom for a dimension that no other dimension of this tensor uses."""
        atom = standard_atom(dim, size)
        taken = any(atom in atoms for d, atoms in enumerate(self.dims) if d != dim)
        return Atom(size) if taken else atom

    def along(self, dim: int, reads: Reads) -> State:
        """Return the state after an op that works along one dimension.

        An op is a union over its taps, and a path is a product of axes: (A x B)(o) = A(o) x B(o). Where one
        axis depends on the dimension, that union is a product again: U_t A(o + t) x B = (U_t A(o + t)) x B.
        Where two do (tokens: index = row and column), it is not: taps 0 and 1 see {0} x {0} and {1} x {1}, 2
        pixels, but {0, 1} x {0, 1} has four. Each tap then becomes a path of its own, if they are few.
        """
        if reads.is_identity:
            return self
        state = self.merged(dim)
        new = state.new_atom(dim, reads.n_out)
        old = state.dims[dim][0] if state.dims[dim] else None
        paths: list[Path] = []
        exact = True
        for path in state.paths:
            users = 0 if old is None else sum(old in part.atoms for part in path.parts)
            if old is None or users == 0:
                paths.append(path.kept((new,), reads.present))
            elif users == 1 or reads.is_gather:
                paths.append(path.through(old, new, reads))
            else:
                # Two axes depend on this dimension: only one tap at a time keeps what belongs together.
                taps = reads.tap_by_tap()
                exact &= len(taps) <= MAX_PATHS
                paths += [
                    path.through(old, new, tap) for tap in (taps if len(taps) <= MAX_PATHS else [reads])
                ]
        dims = (*state.dims[:dim], (new,), *state.dims[dim + 1 :])
        flags = state.flags | reads.flags | (frozenset() if exact else {"bounding box"})
        out = State(dims, (), flags, state.mixed)
        if len(paths) == len(state.paths):
            return replace(out, paths=tuple(p for p in paths if not p.is_empty))
        return out.with_paths(paths)

    def merged(self, dim: int) -> State:
        """Return the state with one dimension as a single atom (or none, where it has none)."""
        atoms = self.dims[dim]
        if len(atoms) <= 1:
            return self
        one = Atom(size_of(atoms), any(a.channel for a in atoms))
        dims = (*self.dims[:dim], (one,), *self.dims[dim + 1 :])
        return replace(self, dims=dims, paths=tuple(merge_atoms(p, atoms, one) for p in self.paths))

    def reduced(self, dims: Iterable[int]) -> State:
        """Return the state after an op that mixes all of some dimensions, which then have length 1."""
        gone = tuple(dims)
        atoms = {a for d in gone for a in self.dims[d]}
        kept = tuple(() if d in gone else dim for d, dim in enumerate(self.dims))
        state = replace(self, dims=kept)
        if not atoms & self.position_atoms:
            return state
        paths, exact = reduce_paths(self.paths, atoms)
        state = state.with_paths(paths)
        return state if exact else state.flagged("bounding box")

    def permuted(self, order: Sequence[int]) -> State:
        """Return the state with its dimensions in another order."""
        return replace(self, dims=tuple(self.dims[d] for d in order))

    def resized(self, dim: int, size: int, channel: bool = False) -> State:
        """Return the state with one dimension, on which nothing depends any more, of another length."""
        atoms = () if size == 1 and not channel else (self._free_atom(dim, size, channel),)
        return replace(self, dims=(*self.dims[:dim], atoms, *self.dims[dim + 1 :]))

    def _free_atom(self, dim: int, size: int, channel: bool) -> Atom:
        atom = standard_atom(dim, size, channel)
        taken = any(atom in atoms for d, atoms in enumerate(self.dims) if d != dim)
        return Atom(size, channel) if taken else atom

    def refreshed(self) -> State:
        """Return an equal state whose atoms are all its own, for an op that takes one tensor twice."""
        return self.renamed(
            {atom: Atom(atom.size, atom.channel, atom.branch) for dim in self.dims for atom in dim}
        )

    def renamed(self, names: dict[Atom, Atom]) -> State:
        """Return the state with atoms replaced by others of the same size."""
        dims = tuple(tuple(names.get(a, a) for a in dim) for dim in self.dims)
        paths = tuple(
            Path(tuple(Part(tuple(names.get(a, a) for a in part.atoms), part.map) for part in path.parts))
            for path in self.paths
        )
        return replace(self, dims=dims, paths=paths)

    def split_atom(self, atom: Atom, sizes: tuple[int, ...]) -> tuple[State, tuple[Atom, ...]]:
        """Return the state with one atom as a row-major product of several."""
        pieces = tuple(Atom(size, atom.channel, atom.branch) for size in sizes)
        dims = tuple(swap(dim, atom, pieces) for dim in self.dims)
        paths = []
        for path in self.paths:
            parts = []
            for part in path.parts:
                if atom in part.atoms:
                    atoms = swap(part.atoms, atom, pieces)
                    part = Part(atoms, part.map.reshaped(tuple(a.size for a in atoms))).settled()
                parts.append(part)
            paths.append(Path(tuple(parts)))
        return replace(self, dims=dims, paths=tuple(paths)), pieces


def image(shape: Sequence[int], axes: int) -> State:
    """Return the state of the input itself, (N, C, *spatial) with as many spatial axes; tokens have no C."""
    maps: dict[int, IndexMap] = {}
    first = len(shape) - axes
    dims: list[Dim] = [() if shape[0] == 1 else (standard_atom(0, shape[0]),)]
    dims += [(standard_atom(dim, shape[dim], True),) for dim in range(1, first)]
    parts = []
    for dim in range(first, len(shape)):
        size = shape[dim]
        atom = standard_atom(dim, size)
        dims.append((atom,))
        parts.append(Part((atom,), maps.setdefault(size, IndexMap.identity(size))))
    return State(tuple(dims), (Path(tuple(parts)),))


@lru_cache(maxsize=1024)
def constant(shape: tuple[int, ...]) -> State:
    """Return the state of a tensor on which the input has no influence."""
    return State(tuple(() if n == 1 else (standard_atom(d, n),) for d, n in enumerate(shape)), ())


def join(states: Sequence[State], *, branches: bool = True) -> State:
    """Return the union of states with equal dims: an elementwise op's result.

    Args:
        states: The operands.
        branches: Flag operands that are misaligned. False where they are taps of one op (a norm's statistic,
            attention's keys), which look at more than one place on purpose.
    """
    first = states[0]
    if all(s.paths is first.paths for s in states):
        merged = first
    else:
        merged = first.with_paths(p for s in states for p in s.paths)
    flags = merged.flags.union(*(s.flags for s in states))
    if branches and not aligned([s.paths for s in states]):
        flags |= {"misaligned"}
    mixed = any(s.mixed for s in states)
    if flags == merged.flags and mixed == merged.mixed:
        return merged
    return replace(merged, flags=flags, mixed=mixed)
