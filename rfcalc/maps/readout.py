"""State -> Field: the numbers of one tensor, and its units' clipped sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import prod

from rfcalc.maps.field import Field, Spans
from rfcalc.maps.indexmap import Extent, Plane, union_of_planes
from rfcalc.maps.paths import reduce_paths, union_paths
from rfcalc.maps.state import Atom, Part, Path, State

__all__ = ["Readout", "field_of"]


@dataclass(frozen=True, eq=False)
class Readout:
    """The clipped sets of one tensor's units; implements `rfcalc.maps.field.Reach`.

    Units are positions: channels are unioned. Position dimensions are those that some input axis depends on
    and that carry no channels; one that carries both is a position after a pixel shuffle written out as views
    (the other channels stand elsewhere) and a channel after flattening a patch (they do not).
    """

    state: State
    input_size: tuple[int, ...]

    @cached_property
    def _unioned(self) -> tuple[tuple[tuple[Atom, ...], ...], tuple[Path, ...]]:
        used = self.state.position_atoms
        placed = [dim for dim in self.state.dims if any(a in used for a in dim)]
        both = [dim for dim in placed if any(a.channel for a in dim)]
        shuffled = len(both) > 1 or any(
            dim and all(a.channel and a not in used for a in dim) for dim in self.state.dims
        )
        dims = tuple(dim for dim in placed if shuffled or dim not in both)
        gone = used - {a for dim in dims for a in dim}
        paths = self.state.paths
        if gone:
            reduced, _ = reduce_paths(paths, gone)
            paths, _ = union_paths(reduced)
        return dims, paths

    @property
    def paths(self) -> tuple[Path, ...]:
        """The products, over position dimensions alone."""
        return self._unioned[1]

    @property
    def dims(self) -> tuple[tuple[Atom, ...], ...]:
        """The atoms of each position dimension."""
        return self._unioned[0]

    @cached_property
    def positions(self) -> tuple[int, ...]:
        """The shape of the unit grid."""
        return tuple(prod(a.size for a in dim) for dim in self._unioned[0])

    @property
    def position_dims(self) -> tuple[int, ...]:
        """Numbers of the tensor's dimensions that make up the unit grid."""
        dims = [id(dim) for dim in self._unioned[0]]
        return tuple(d for d, dim in enumerate(self.state.dims) if id(dim) in dims)

    @property
    def map_dims(self) -> tuple[tuple[int, bool], ...]:
        """Length of each spatial dimension of a map (N, C, *spatial), and whether units differ along it."""
        first = len(self.state.dims) - len(self.input_size)
        if first != 2 or any(d < first for d in self.position_dims):
            return ()
        return tuple(
            (self.state.shape[d], d in self.position_dims) for d in range(first, len(self.state.dims))
        )

    def products(self, index: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Return the unit's pixels as a union of products of bitmasks."""
        place: dict[Atom, int] = {}
        for dim, i in zip(self._unioned[0], index, strict=True):
            for atom in reversed(dim):
                i, place[atom] = divmod(i, atom.size)
        out = []
        for path in self.paths:
            bits = tuple(_at(part, place) for part in path.parts)
            if all(bits):
                out.append(bits)
        return tuple(dict.fromkeys(out))

    @cached_property
    def clipped_extent(self) -> tuple[tuple[int, int, int], ...]:
        """Largest and smallest extent, and pixels, of the clipped sets of every axis."""
        out = []
        for axis in range(len(self.input_size)):
            sets = [bits for path in self.paths for bits in path.parts[axis].map.seen]
            hulls = [bits.bit_length() - (bits & -bits).bit_length() + 1 if bits else 0 for bits in sets]
            out.append(
                (max(hulls, default=0), min(hulls, default=0), max((b.bit_count() for b in sets), default=0))
            )
        return tuple(out)


def _at(part: Part, place: dict[Atom, int]) -> int:
    index = 0
    for atom in part.atoms:
        index = index * atom.size + place[atom]
    return part.map.seen[index]


@dataclass(frozen=True)
class _Axis:
    size: int
    size_min: int
    pixels: int
    jump: Fraction | None = None
    start: int | None = None
    centre: Fraction | None = None
    spans: Spans | None = None
    flags: frozenset[str] = frozenset()


def field_of(state: State, input_size: tuple[int, ...]) -> Field:
    """Return the field of a tensor.

    Args:
        state: What its elements see.
        input_size: The input's spatial size.
    """
    readout = Readout(state, input_size)
    paths = readout.paths
    local = [p for p in paths if p.is_local]
    axes = [_axis(readout, local or list(paths), k) for k in range(len(input_size))]
    if len(local) < len(paths) and len(readout.positions) < len(axes):
        # A class token, a pooled vector: no unit of a map, so that there is no first one either.
        axes = [replace(a, jump=None, start=None, centre=None, spans=None) for a in axes]
    return Field(
        size=tuple(a.size for a in axes),
        size_min=tuple(a.size_min for a in axes),
        jump=tuple(a.jump for a in axes),
        start=tuple(a.start for a in axes),
        centre=tuple(a.centre for a in axes),
        pixels=tuple(a.pixels for a in axes),
        is_global=len(local) < len(paths),
        flags=state.flags.union(*(a.flags for a in axes)),
        reach=readout,
        spans=tuple(a.spans for a in axes),
    )


def _axis(readout: Readout, paths: list[Path], axis: int) -> _Axis:
    if not paths:
        return _Axis(0, 0, 0)
    parts = [path.parts[axis] for path in paths]
    over = max((part.atoms for part in parts), key=len)
    elsewhere = {a for path in paths for k, part in enumerate(path.parts) if k != axis for a in part.atoms}
    if over and over not in readout.dims:
        # After views a map may vary along some factors of a dimension only: its steps are the dimension's.
        over = next((dim for dim in readout.dims if set(over) <= set(dim)), over)
    nested = all(set(part.atoms) <= set(over) for part in parts)
    planes: list[Plane] = [part.spread(over).map.plane if nested else part.map.plane for part in parts]
    if not nested:
        planes = [p if isinstance(p, Extent) else p.extent for p in planes]
    # Flattened maps, tokens: one index steps along several axes.
    shared = bool(elsewhere.intersection(over))
    plane = union_of_planes(planes)
    if plane is None:
        # Jumps differ: the union drifts apart with the position, only this size has an extent.
        size, size_min, pixels = readout.clipped_extent[axis]
        known = [p if isinstance(p, Extent) else p.extent for p in planes]
        size = max(size, *(e.size for e in known))
        return _Axis(
            size,
            size_min,
            max(pixels, *(e.pixels for e in known)),
            flags=frozenset({"misaligned", "size-dependent"}),
        )
    if isinstance(plane, Extent) or shared:
        extent = plane if isinstance(plane, Extent) else plane.extent
        flags = _extent_flags(extent)
        return _Axis(extent.size, extent.size_min, extent.pixels, flags=flags)
    extent = plane.extent
    flags = _extent_flags(extent)
    if plane.has_holes:
        flags |= {"holes"}
    if len({bits for _, bits in plane.phases}) > 1:
        flags |= {"phase-dependent"}
    low, bits = plane.at(0)
    return _Axis(
        extent.size,
        extent.size_min,
        extent.pixels,
        plane.jump if plane.shift else None,
        low if bits else None,
        plane.centre(0),
        Spans(plane.shift, tuple((first, seen.bit_length()) for first, seen in plane.phases)),
        flags,
    )


def _extent_flags(extent: Extent) -> frozenset[str]:
    flags = set()
    if extent.size_min == 0:
        flags.add("dead outputs")
    if extent.pixels < extent.size:
        flags.add("holes")
    return frozenset(flags)
