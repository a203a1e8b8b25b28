"""State: what every element of one tensor sees of the input, as a union of products of index maps. Knows no torch.

Each dimension of a tensor is a row-major product of atoms. A path gives, for every input axis, the atoms that it depends
on and an `IndexMap` over them; the element sees the product of its axes' sets, and the union over the paths. Atoms that no
path refers to are free: batch and channels. Views only regroup atoms, so windows, tokens and flattened maps stay exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from math import lcm, prod

from rfcalc.indexmap import Extent, IndexMap, Periodic, Reads, union_of_planes

__all__ = ["Atom", "Part", "Path", "State", "constant", "image", "join", "union_paths"]

MAX_PATHS = 12
"""Products that a state may hold before they are replaced by their bounding box."""


class Atom:
    """One factor of a dimension; identity is what counts."""

    __slots__ = ("channel", "size")

    def __init__(self, size: int, channel: bool = False) -> None:
        self.size = size
        self.channel = channel

    def __repr__(self) -> str:
        return f"Atom({self.size}{', channel' if self.channel else ''})"


@lru_cache(maxsize=4096)
def standard_atom(dim: int, size: int, channel: bool = False) -> Atom:
    """Return the usual atom of a dimension: tensors of the same shape then agree without renaming."""
    return Atom(size, channel)


Dim = tuple[Atom, ...]


@dataclass(frozen=True, eq=False)
class Part:
    """One axis of a path: the atoms that it depends on, and the map over their row-major index."""

    atoms: tuple[Atom, ...]
    map: IndexMap

    @property
    def is_global(self) -> bool:
        """Whether a global operation spread this part over the whole axis."""
        return isinstance(self.map.plane, Extent) and self.map.plane.is_global

    def through(self, atom: Atom, new: Atom, reads: Reads) -> Part:
        """Return the part after an op along one of its atoms."""
        mapped = self.map.through(reads, self.atoms.index(atom))
        return self if mapped is self.map and atom is new else Part(_swap(self.atoms, atom, (new,)), mapped)

    def reduced(self, atoms: Iterable[Atom]) -> Part:
        """Return the union over those of its atoms."""
        dims = tuple(i for i, a in enumerate(self.atoms) if a in atoms)
        if not dims:
            return self
        return Part(tuple(a for a in self.atoms if a not in atoms), self.map.reduced(dims))

    def spread(self, atoms: tuple[Atom, ...]) -> Part:
        """Return the part over more atoms, constant along the new ones."""
        if atoms == self.atoms:
            return self
        dims = tuple(atoms.index(a) for a in self.atoms)
        return Part(atoms, self.map.spread(tuple(a.size for a in atoms), dims))


@dataclass(frozen=True, eq=False)
class Path:
    """One product: a part for each input axis."""

    parts: tuple[Part, ...]

    @property
    def is_local(self) -> bool:
        """Whether no global operation lies on it."""
        return not any(part.is_global for part in self.parts)

    @property
    def is_empty(self) -> bool:
        """Whether it contributes nothing anywhere."""
        return any(part.map.is_empty for part in self.parts)

    def atoms(self) -> set[Atom]:
        """Return every atom that it depends on."""
        return {atom for part in self.parts for atom in part.atoms}

    def through(self, old: Atom, new: Atom, reads: Reads) -> Path:
        """Return the path after an op along one of its atoms."""
        return Path(tuple(p.through(old, new, reads) if old in p.atoms else p for p in self.parts))

    def kept(self, atoms: tuple[Atom, ...], keep: tuple[bool, ...]) -> Path:
        """Return the path with nothing seen where `keep`, over the row-major index of `atoms`, is false."""
        if all(keep):
            return self
        users = [i for i, part in enumerate(self.parts) if set(atoms) & set(part.atoms)]
        chosen = users[0] if users else 0
        part = self.parts[chosen]
        over = (*part.atoms, *(a for a in atoms if a not in part.atoms))
        part = part.spread(over)
        flat = _project(over, atoms)
        mapped = part.map.kept(tuple(keep[i] for i in flat))
        return Path((*self.parts[:chosen], Part(over, mapped), *self.parts[chosen + 1 :]))

    def covers(self, other: Path) -> bool:
        """Return whether every element sees at least what it sees through `other`, clipped and unbounded."""
        for mine, theirs in zip(self.parts, other.parts, strict=True):
            if mine.atoms == theirs.atoms:
                if not mine.map.covers(theirs.map):
                    return False
                continue
            if not set(mine.atoms) <= set(theirs.atoms) or mine.is_global != theirs.is_global:
                return False
            if not mine.spread(theirs.atoms).map.covers(theirs.map):
                return False
        return True


@dataclass(frozen=True, eq=False)
class State:
    """What one tensor's elements see.

    Attributes:
        dims: The atoms of each dimension.
        paths: A union of products; () where nothing depends on the input.
        flags: What has happened on the way here.
        mixed: Channels at one position see different sets (joined branches): picking some of them is only bounded.
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
        """Return the state after an op that works along one dimension."""
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
        return replace(self, dims=dims, paths=tuple(_merge_atoms(p, atoms, one) for p in self.paths))

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
        return self.renamed({atom: Atom(atom.size, atom.channel) for dim in self.dims for atom in dim})

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
        pieces = tuple(Atom(size, atom.channel) for size in sizes)
        dims = tuple(_swap(dim, atom, pieces) for dim in self.dims)
        paths = []
        for path in self.paths:
            parts = []
            for part in path.parts:
                if atom in part.atoms:
                    atoms = _swap(part.atoms, atom, pieces)
                    part = Part(atoms, part.map.reshaped(tuple(a.size for a in atoms)))
                parts.append(part)
            paths.append(Path(tuple(parts)))
        return replace(self, dims=dims, paths=tuple(paths)), pieces


def size_of(atoms: Iterable[Atom]) -> int:
    """Return the product of the atoms' sizes."""
    return prod(atom.size for atom in atoms)


def image(shape: Sequence[int], axes: int) -> State:
    """Return the state of the input itself, (N, C, *spatial) with as many spatial axes."""
    maps: dict[int, IndexMap] = {}
    dims: list[Dim] = [
        () if shape[0] == 1 else (standard_atom(0, shape[0]),),
        (standard_atom(1, shape[1], True),),
    ]
    parts = []
    for dim in range(2, 2 + axes):
        size = shape[dim]
        atom = standard_atom(dim, size)
        dims.append((atom,))
        parts.append(Part((atom,), maps.setdefault(size, IndexMap.identity(size))))
    return State(tuple(dims), (Path(tuple(parts)),))


@lru_cache(maxsize=1024)
def constant(shape: tuple[int, ...]) -> State:
    """Return the state of a tensor on which the input has no influence."""
    return State(tuple(() if n == 1 else (standard_atom(d, n),) for d, n in enumerate(shape)), ())


def union_paths(paths: Iterable[Path]) -> tuple[tuple[Path, ...], bool]:
    """Return the antichain of some paths (dominated ones dropped), and whether it had to become a bounding box."""
    kept: list[Path] = []
    for path in paths:
        if path.is_empty or any(other is path or other.covers(path) for other in kept):
            continue
        kept = [other for other in kept if not path.covers(other)]
        kept = _with(kept, path)
    if len(kept) <= MAX_PATHS:
        return tuple(kept), False
    return _bounding_boxes(kept), True


def _with(kept: list[Path], path: Path) -> list[Path]:
    """Return kept and path; two products that differ along one axis only are one."""
    for i, other in enumerate(kept):
        if other.is_local != path.is_local:
            continue
        differing = [
            k
            for k, (a, b) in enumerate(zip(other.parts, path.parts, strict=True))
            if not (a.atoms == b.atoms and (a.map is b.map or (a.map.covers(b.map) and b.map.covers(a.map))))
        ]
        if len(differing) > 1:
            continue
        k = differing[0] if differing else 0
        if other.parts[k].atoms != path.parts[k].atoms:
            continue
        # Without a common periodic form the two would lose theirs by merging.
        if isinstance(other.parts[k].map.plane, Extent) != isinstance(path.parts[k].map.plane, Extent):
            continue
        mapped = other.parts[k].map.union(path.parts[k].map)
        if mapped is None:
            continue
        parts = (*other.parts[:k], Part(other.parts[k].atoms, mapped), *other.parts[k + 1 :])
        return _with([p for j, p in enumerate(kept) if j != i], Path(parts))
    return [*kept, path]


def _bounding_boxes(paths: list[Path]) -> tuple[Path, ...]:
    boxes: list[Path] = []
    for path in paths:
        for i, box in enumerate(boxes):
            if [p.is_global for p in box.parts] != [p.is_global for p in path.parts]:
                continue
            parts = []
            for a, b in zip(box.parts, path.parts, strict=True):
                atoms = (*a.atoms, *(x for x in b.atoms if x not in a.atoms))
                mapped = a.spread(atoms).map.union(b.spread(atoms).map)
                if mapped is None:
                    break
                parts.append(Part(atoms, mapped))
            else:
                boxes[i] = Path(tuple(parts))
                break
        else:
            boxes.append(path)
    return tuple(boxes)


def reduce_paths(paths: Iterable[Path], atoms: set[Atom]) -> tuple[list[Path], bool]:
    """Return the paths after a union over some atoms, and whether that is exact."""
    out: list[Path] = []
    exact = True
    for path in paths:
        shared = [a for a in atoms if sum(a in part.atoms for part in path.parts) > 1]
        if not shared:
            out.append(Path(tuple(part.reduced(atoms) for part in path.parts)))
            continue
        split = _reduce_shared(path, atoms)
        exact &= split is not None
        out += split if split is not None else [Path(tuple(part.reduced(atoms) for part in path.parts))]
    return out, exact


def _reduce_shared(path: Path, atoms: set[Atom]) -> list[Path] | None:
    """Return the union over atoms that two axes share, when it stays a handful of products.

    Only where the axes depend on nothing else: tokens, flattened maps. A product for each distinct set of the first
    axis, then one for each distinct rest.
    """
    if len(path.parts) != 2 or any(set(part.atoms) - atoms for part in path.parts):
        return None
    over = tuple(dict.fromkeys(a for part in path.parts for a in part.atoms))
    first, second = (part.spread(over).map for part in path.parts)
    columns: dict[int, int] = {}
    for a, b in zip(first.seen, second.seen, strict=True):
        if a and b:
            columns[a] = columns.get(a, 0) | b
    rows: dict[int, int] = {}
    for a, b in columns.items():
        rows[b] = rows.get(b, 0) | a
    if len(rows) > MAX_PATHS:
        return None
    spread = [_spread_extent(part.map) for part in path.parts]
    return [
        Path((Part((), IndexMap((a,), (), spread[0])), Part((), IndexMap((b,), (), spread[1]))))
        for b, a in rows.items()
    ]


def _spread_extent(mapped: IndexMap) -> Extent:
    extent = mapped.plane if isinstance(mapped.plane, Extent) else mapped.plane.extent
    return Extent(extent.size, extent.size_min, extent.pixels, is_global=True)


def _merge_atoms(path: Path, atoms: Dim, one: Atom) -> Path:
    """Return a path over the single atom `one` instead of `atoms`, of which it is the row-major product."""
    parts = []
    for part in path.parts:
        inside = [a for a in part.atoms if a in atoms]
        if inside:
            others = tuple(a for a in part.atoms if a not in atoms)
            at = 0 if part.atoms[0] in atoms else len(others)
            over = (*atoms, *others) if at == 0 else (*others, *atoms)
            spread = part.spread(over)
            over = (one, *others) if at == 0 else (*others, one)
            part = Part(over, spread.map.reshaped(tuple(a.size for a in over)))
        parts.append(part)
    return Path(tuple(parts))


def _swap(atoms: tuple[Atom, ...], old: Atom, new: tuple[Atom, ...]) -> tuple[Atom, ...]:
    if old not in atoms:
        return atoms
    i = atoms.index(old)
    return (*atoms[:i], *new, *atoms[i + 1 :])


def _project(over: tuple[Atom, ...], atoms: tuple[Atom, ...]) -> list[int]:
    """Return, for each row-major index over `over`, the row-major index over `atoms`."""
    strides = dict.fromkeys(over, 0)
    step = 1
    for atom in reversed(atoms):
        strides[atom] = step
        step *= atom.size
    flat = [0]
    for atom in over:
        flat = [base + i * strides[atom] for base in flat for i in range(atom.size)]
    return flat


def join(states: Sequence[State], paths: Iterable[Path] | None = None) -> State:
    """Return the union of states with equal dims: an elementwise op's result, misaligned operands flagged."""
    first = states[0]
    if all(s.paths is first.paths for s in states) and paths is None:
        merged = first
    else:
        merged = first.with_paths(p for s in states for p in s.paths)
    flags = merged.flags.union(*(s.flags for s in states))
    if misaligned(states):
        flags |= {"misaligned"}
    mixed = any(s.mixed for s in states)
    if flags == merged.flags and mixed == merged.mixed:
        return merged
    return replace(merged, flags=flags, mixed=mixed)


def misaligned(states: Sequence[State]) -> bool:
    """Return whether the local paths of some operands differ in jump or centre, along any axis."""
    local = [[p for p in s.paths if p.is_local] for s in states]
    local = [paths for paths in local if paths]
    if len(local) < 2:
        return False
    for axis in range(len(local[0][0].parts)):
        planes = []
        for paths in local:
            if len({p.parts[axis].atoms for p in paths}) == 1:
                plane = union_of_planes([p.parts[axis].map.plane for p in paths])
                if isinstance(plane, Periodic):
                    planes.append((paths[0].parts[axis].atoms, plane))
        for atoms, plane in planes[1:]:
            if atoms == planes[0][0] and plane is not planes[0][1] and not _centred(planes[0][1], plane):
                return True
    return False


def _centred(one: Periodic, two: Periodic) -> bool:
    """Return whether two maps have the same jump and, on average over their phases, the same centre."""
    if one.jump != two.jump:
        return False
    drift = Fraction(0)
    for o in range(lcm(len(one.phases), len(two.phases))):
        a, b = one.centre(o), two.centre(o)
        if a is not None and b is not None:
            drift += a - b
    return drift == 0
