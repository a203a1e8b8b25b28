"""Pieces of one map that are put together again: tokens around a class token, rows one by one.

Cut into pieces and joined, a map has one path a piece, each with places where nothing is seen, and no two
of them have the same form. But the pieces come from one map: what the second sees at its index j, the first
would see at j + k. Where such shifts exist, the pieces are one movement of that map (rfcalc/maps/moved.py),
which is regular again once they lie in order. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from rfcalc.maps.indexmap import IndexMap
from rfcalc.maps.moved import NOWHERE
from rfcalc.maps.paths import Atom, Part, Path
from rfcalc.maps.plane import Extent, Periodic
from rfcalc.maps.state import State

__all__ = ["in_pieces", "rejoined"]

MAX_PHASES = 64
"""Phases of a periodic form up to which a shift between two maps is looked for."""


def rejoined(pieces: Sequence[State], dim: int, owners: Sequence[int]) -> State | None:
    """Return the union of pieces of one map, each at its own indices of a dimension.

    Args:
        pieces: States over the same atoms, a single one at `dim`.
        dim: The dimension.
        owners: For each index of the dimension the number of its piece, `NOWHERE` for none.

    Returns:
        None where the pieces do not come from one map.
    """
    (new,) = pieces[0].dims[dim]
    if len({len(piece.paths) for piece in pieces}) != 1:
        return None
    paths = []
    for alike in zip(*(piece.paths for piece in pieces), strict=True):
        parts = [_one_part(parts, new, owners) for parts in zip(*(p.parts for p in alike), strict=True)]
        known = [part for part in parts if part is not None]
        if len(known) != len(parts):
            return None
        paths.append(Path(tuple(known)))
    flags = frozenset[str]().union(*(piece.flags for piece in pieces))
    return replace(pieces[0], paths=tuple(paths), flags=flags, mixed=any(piece.mixed for piece in pieces))


def in_pieces(piece: State, dim: int, number: int, owners: Sequence[int]) -> State:
    """Return a piece without the periodic form that it has at its own indices alone.

    Of rows 8..15 and then 0..7 each piece repeats; taken for maps of the whole dimension, the first would see
    i + 8 and the second i - 8, and their union would be 17 wide at every index, which sees one place.
    """
    (new,) = piece.dims[dim]
    paths = []
    for path in piece.paths:
        parts = []
        for part in path.parts:
            mapped, plane = part.map, part.map.plane
            if new in part.atoms and mapped.origin is None and isinstance(plane, Periodic):
                at = _indices(part, new)
                sources = tuple(i if owners[o] == number else NOWHERE for i, o in enumerate(at))
                part = Part(part.atoms, IndexMap(mapped.seen, mapped.shape, plane.extent, mapped, sources))
            parts.append(part)
        paths.append(Path(tuple(parts)))
    return replace(piece, paths=tuple(paths))


def _one_part(parts: Sequence[Part], new: Atom, owners: Sequence[int]) -> Part | None:
    """Return what the pieces see along one input axis as one part, None where they are not of one map."""
    first = parts[0]
    if all(new not in part.atoms for part in parts) and all(
        part.atoms == first.atoms
        and (part.map is first.map or (part.map.covers(first.map) and first.map.covers(part.map)))
        for part in parts
    ):
        return first
    atoms = (new, *(a for a in dict.fromkeys(a for part in parts for a in part.atoms) if a is not new))
    spread = [part.spread(atoms) for part in parts]
    bases = [part.map.origin or part.map for part in spread]
    shifts = _shifts(bases)
    if shifts is None:
        return None
    inner = prod(a.size for a in atoms[1:])
    seen: list[int] = []
    places: list[int | None] = []  # indices of the first map, those before its own included
    known: dict[int, int] = {}
    for i in range(new.size * inner):
        number = owners[i // inner]
        mapped = spread[number].map if number != NOWHERE else None
        source = NOWHERE if mapped is None else mapped.sources[i] if mapped.origin is not None else i
        seen.append(0 if mapped is None else mapped.seen[i])
        if source == NOWHERE:
            places.append(None)
            continue
        place, bits = source + shifts[number], bases[number].seen[source]
        if known.setdefault(place, bits) != bits:
            return None  # the same index, cut off at another border
        places.append(place)
    if not known:
        return None
    low, count = min(known), max(known) - min(known) + 1
    plane = bases[0].plane
    if count > 2 * len(seen) or not isinstance(plane, Periodic):
        return None
    origin = IndexMap(
        tuple(known.get(low + i, 0) for i in range(count)), (count,), plane.after(1, 1, ((low,),))
    )
    moved = tuple(NOWHERE if place is None else place - low for place in places)
    extent = plane.extent
    whole = IndexMap(tuple(seen), tuple(a.size for a in atoms), extent, origin, moved)
    return Part(atoms, whole).settled()


def _shifts(bases: Sequence[IndexMap]) -> list[int] | None:
    """Return for each map the k for which its index j sees what index j + k of the first map does."""
    shifts = []
    for base in bases:
        one, two = bases[0].plane, base.plane
        if isinstance(one, Extent) or isinstance(two, Extent):
            return None
        shift = 0 if base is bases[0] else _shift(one, two)
        if shift is None:
            return None
        shifts.append(shift)
    return shifts


def _shift(one: Periodic, two: Periodic) -> int | None:
    count, step = len(one.phases), one.shift
    if len(two.phases) != count or two.shift != step or count > MAX_PHASES:
        return None
    anchor = next((i for i, (_, bits) in enumerate(two.phases) if bits), None)
    if anchor is None:
        return None
    low, bits = two.at(anchor)
    for place in range(count):
        there, same = one.at(place)
        turns, rest = divmod(low - there, step) if step else (0, low - there)
        shift = turns * count + place - anchor
        if same == bits and not rest and all(_equal(one.at(j + shift), two.at(j)) for j in range(count)):
            return shift
    return None


def _equal(one: tuple[int, int], two: tuple[int, int]) -> bool:
    return one == two or (one[1] == 0 and two[1] == 0)


def _indices(part: Part, atom: Atom) -> list[int]:
    """Return the index along an atom for each row-major index of a part."""
    inner = prod(a.size for a in part.atoms[part.atoms.index(atom) + 1 :])
    return [i // inner % atom.size for i in range(len(part.map.seen))]
