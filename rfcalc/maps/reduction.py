"""Unions over factors of a tensor's dimensions: means, sums and products that mix a whole axis.

Where two input axes share a factor (tokens of a flattened map), a union over it is no product any more; these
functions find the products that it is made of. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from rfcalc.maps.indexmap import IndexMap, Reads
from rfcalc.maps.paths import MAX_PATHS, Atom, Part, Path, swap
from rfcalc.maps.plane import Extent

__all__ = ["reduce_paths", "untangled"]


def reduce_paths(paths: Iterable[Path], atoms: set[Atom]) -> tuple[list[Path], bool]:
    """Return the paths after a union over some atoms, and whether that is exact."""
    out: list[Path] = []
    exact = True
    for path in paths:
        path, pieces = untangled(path, atoms)
        gone = atoms | pieces
        shared = [a for a in gone if sum(a in part.atoms for part in path.parts) > 1]
        if not shared:
            out.append(Path(tuple(part.reduced(gone) for part in path.parts)))
            continue
        split = _reduce_shared(path, gone)
        exact &= split is not None
        out += split if split is not None else [Path(tuple(part.reduced(gone) for part in path.parts))]
    return out, exact


def untangled(path: Path, atoms: Iterable[Atom]) -> tuple[Path, set[Atom]]:
    """Return a path in which some atoms are rows times columns where they can be, and the new atoms.

    Tokens with a class token count 1 + H * W indices that both axes share. Where the class token is not, an
    index is a row and a column again, and each axis depends on one of them: H = 2, W = 3, sources along y
    - 0 0 0 1 1 1, along x - 0 1 2 0 1 2.
    """
    made: set[Atom] = set()
    for atom in atoms:
        if sum(atom in part.atoms for part in path.parts) == 2:
            grid = _grid(path, atom)
            if grid is not None:
                path, pieces = grid
                made.update(pieces)
    return path, made


def _grid(path: Path, atom: Atom) -> tuple[Path, tuple[Atom, Atom]] | None:
    """Return a path over (row, column) instead of one atom that two of its parts share."""
    found = _rows_and_columns(
        *((part.map, part.atoms.index(atom)) for part in path.parts if atom in part.atoms)
    )
    if found is None:
        return None
    valid, inner = found
    whole, pieces = Atom(len(valid)), (Atom(len(valid) // inner), Atom(inner))
    reads = Reads.gather(atom.size, valid)
    parts = []
    for part in path.through(atom, whole, reads).parts:
        if whole in part.atoms:
            over = swap(part.atoms, whole, pieces)
            part = Part(over, part.map.reshaped(tuple(a.size for a in over))).settled()
        parts.append(part)
    if any(sum(piece in part.atoms for part in parts) > 1 for piece in pieces):
        return None
    return Path(tuple(parts)), pieces


@lru_cache(maxsize=256)
def _rows_and_columns(
    first: tuple[IndexMap, int], second: tuple[IndexMap, int]
) -> tuple[tuple[int, ...], int] | None:
    """Return the indices of a shared dimension where two maps see anything, and how many make a row."""
    one, two = (mapped.columns(dim) for mapped, dim in (first, second))
    if one is None or two is None:
        return None
    valid = [i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a is not None and b is not None]
    inner = next((k for k, i in enumerate(valid) if one[i] != one[valid[0]]), len(valid))
    if inner == 1:
        inner = next((k for k, i in enumerate(valid) if two[i] != two[valid[0]]), len(valid))
    if not valid or len(valid) % inner or inner in (1, len(valid)):
        return None
    return tuple(valid), inner


def _reduce_shared(path: Path, atoms: set[Atom]) -> list[Path] | None:
    """Return the union over atoms that two axes share, when it stays a handful of products.

    U_i A(i) x B(i), where the axes depend on nothing else (tokens, flattened maps): by distributivity
    A x B u A x C = A x (B u C), so that indices with the same A are collected first, then those with the same
    collected B. A 2 x 2 map, i = (row, column): A = {0} {0} {1} {1}, B = {0} {1} {0} {1} gives {0} -> {0, 1}
    and {1} -> {0, 1}, then {0, 1} -> {0, 1}: one product instead of four.
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
