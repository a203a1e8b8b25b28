"""Paths: products of index maps over the factors (atoms) of a tensor's dimensions, and unions of them.

A path gives, for every input axis, the atoms that it depends on and an `IndexMap` over them; an element sees
the product of its axes' sets. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from rfcalc.maps.indexmap import IndexMap, Reads
from rfcalc.maps.plane import Extent

__all__ = [
    "MAX_PATHS",
    "Atom",
    "Dim",
    "Part",
    "Path",
    "size_of",
    "standard_atom",
    "union_paths",
]

MAX_PATHS = 12
"""Products that a union may hold before they are replaced by their bounding box."""


class Atom:
    """One factor of a dimension; identity is what counts.

    Attributes:
        size: Its length.
        channel: It counts channels.
        branch: It counts stacked tensors.
    """

    __slots__ = ("branch", "channel", "size")

    def __init__(self, size: int, channel: bool = False, branch: bool = False) -> None:
        self.size = size
        self.channel = channel
        self.branch = branch

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
        if mapped is self.map and atom is new:
            return self
        return Part(swap(self.atoms, atom, (new,)), mapped).settled()

    def settled(self) -> Part:
        """Return the part over those of its atoms that matter, where the movements so far cancel."""
        found = self.map.regular
        if found is None:
            return self
        dims, mapped = found
        return Part(tuple(self.atoms[d] for d in dims), mapped)

    def reduced(self, atoms: Iterable[Atom]) -> Part:
        """Return the union over those of its atoms."""
        dims = tuple(i for i, a in enumerate(self.atoms) if a in atoms)
        if not dims:
            return self
        branches = all(self.atoms[d].branch for d in dims)
        rest = tuple(a for a in self.atoms if a not in atoms)
        return Part(rest, self.map.reduced(dims, branches=branches)).settled()

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
        users = [i for i, part in enumerate(self.parts) if set(atoms) & set(part.atoms)] or [0]
        parts = list(self.parts)
        # In every part that varies there: a union over these atoms would mix in what a part still holds.
        for i in users:
            over = (*parts[i].atoms, *(a for a in atoms if a not in parts[i].atoms))
            mapped = parts[i].spread(over).map.kept(tuple(keep[flat] for flat in _project(over, atoms)))
            parts[i] = Part(over, mapped).settled()
        return Path(tuple(parts))

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


def size_of(atoms: Iterable[Atom]) -> int:
    """Return the product of the atoms' sizes."""
    return prod(atom.size for atom in atoms)


def union_paths(paths: Iterable[Path]) -> tuple[tuple[Path, ...], bool]:
    """Return some paths without dominated ones, and whether they had to become a bounding box."""
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
                mapped = a.spread(atoms).map.union(b.spread(atoms).map, forced=True)
                if mapped is None:
                    break
                parts.append(Part(atoms, mapped))
            else:
                boxes[i] = Path(tuple(parts))
                break
        else:
            boxes.append(path)
    return tuple(boxes)


def merge_atoms(path: Path, atoms: Dim, one: Atom) -> Path:
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
            part = Part(over, spread.map.reshaped(tuple(a.size for a in over))).settled()
        parts.append(part)
    return Path(tuple(parts))


def swap(atoms: tuple[Atom, ...], old: Atom, new: tuple[Atom, ...]) -> tuple[Atom, ...]:
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
