"""State -> Field: the numbers of one tensor, and its units' clipped sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import prod

from rfcalc.maps.field import Field, Spans
from rfcalc.maps.paths import union_paths
from rfcalc.maps.plane import Extent, Periodic, Plane, union_at, union_of_planes
from rfcalc.maps.reduction import reduce_paths, untangled
from rfcalc.maps.state import Atom, Part, Path, State

__all__ = ["Readout", "as_map", "field_of", "without_branches"]

MAX_UNITS = 1 << 14
"""Units whose sets are joined one by one where paths have no common periodic form."""


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

    def plane(self, axis: int) -> Periodic | None:
        """Return the periodic form of the local paths along an axis of a map; None where there is none."""
        local = [path for path in self.paths if path.is_local]
        if not local or len(self.positions) != len(self.input_size):
            return None
        over, planes, shared = _planes(self, local, axis)
        union = union_of_planes(planes)
        ours = len(self.dims) > axis and over == self.dims[axis]
        return union if isinstance(union, Periodic) and ours and not shared else None

    def clipped(self, axis: int) -> list[int]:
        """Return what each index along an axis of a map sees of it at this size, as bitmasks."""
        over = self.dims[axis]
        seen = [0] * prod(atom.size for atom in over)
        for path in self.paths:
            if path.is_local:
                seen = [a | b for a, b in zip(seen, path.parts[axis].spread(over).map.seen, strict=True)]
        return seen


def _at(part: Part, place: dict[Atom, int]) -> int:
    index = 0
    for atom in part.atoms:
        index = index * atom.size + place[atom]
    return part.map.seen[index]


def without_branches(state: State, axes: int) -> State:
    """Return a state whose stacked branches are channels: unioned, where places remain without them.

    Args:
        state: What a tensor's elements see.
        axes: Spatial axes of the input.
    """
    used = state.position_atoms
    branches = {atom for atom in used if atom.branch}
    placed = [dim for dim in state.dims if any(atom in used for atom in dim)]
    if not branches or len(placed) <= axes:
        return state
    paths, exact = reduce_paths(state.paths, branches)
    out = state.with_paths(paths)
    return out if exact else out.flagged("bounding box")


def as_map(state: State, axes: int) -> State | None:
    """Return the state with its places as rows and columns, whatever order they have now: tokens, windows.

    Args:
        state: What a tensor's elements see.
        axes: Spatial axes of the input.

    Returns:
        A state whose position dimensions are the input's axes, over the same places, without class tokens;
        None where a place has no row and column of its own (vectors, pairs of places).
    """
    readout = Readout(state, (0,) * axes)
    dims: tuple[tuple[Atom, ...], ...] = ()
    paths = []
    for path in sorted(readout.paths, key=lambda path: not path.is_local):
        path, _ = untangled(path, path.atoms())
        over = tuple(part.atoms for part in path.parts)
        if not dims:
            if not path.is_local or not all(over) or len(path.atoms()) < sum(map(len, over)):
                return None
            dims = over
        elif over != dims and [[a.size for a in dim] for dim in over] == [[a.size for a in d] for d in dims]:
            path = Path(tuple(Part(dim, part.map) for dim, part in zip(dims, path.parts, strict=True)))
        if not all(set(part.atoms) <= set(dim) for part, dim in zip(path.parts, dims, strict=True)):
            if path.is_local:
                return None
            path = Path(tuple(part.reduced(part.atoms) for part in path.parts))
        paths.append(path)
    return replace(state, dims=dims, paths=tuple(paths)) if dims else None


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
    """Read the numbers of one axis off the union of the paths' maps.

    R(o + P) = R(o) + Q gives size = the largest extent over o = 0..P - 1, jump = Q / P and start = the first
    position of R(0): the forward form of Araujo et al., "Computing Receptive Fields of Convolutional Neural
    Networks" (Distill, 2019), for maps that repeat. Convolution, then transposed convolution, both k4 s2 p1:
    R(0) = -3..2, R(1) = -1..4, R(2) = R(0) + 2, so P = Q = 2, size 6, jump 2 / 2 = 1, start -3.
    """
    if not paths:
        return _Axis(0, 0, 0)
    over, planes, shared = _planes(readout, paths, axis)
    plane = union_of_planes(planes)
    if plane is None:
        return _drifting(readout, planes, prod(a.size for a in over))
    if isinstance(plane, Extent) or shared:
        extent = plane if isinstance(plane, Extent) else plane.extent
        flags = _extent_flags(extent)
        if isinstance(plane, Extent) and not shared and over and not extent.is_global:
            # Places in an order, or in pieces, that has no constant step at any size.
            flags |= {"size-dependent"}
        claim = _Axis(extent.size, extent.size_min, extent.pixels, flags=flags)
        several = (
            len(paths) > 1 and not extent.is_global and len(readout.positions) == len(readout.input_size)
        )
        return _at_least_seen(claim, paths, axis) if several else claim
    extent = plane.extent
    flags = _extent_flags(extent)
    if plane.has_holes:
        flags |= {"holes"}
    if plane.shift < 0:
        flags |= {"size-dependent"}
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


def _planes(readout: Readout, paths: list[Path], axis: int) -> tuple[tuple[Atom, ...], list[Plane], bool]:
    """Return the atoms that the axis depends on, each path's map over them, and whether others share them.

    They are shared in flattened maps and tokens, where one index steps along several axes.
    """
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
    return over, planes, bool(elsewhere.intersection(over)) or bool(over and over not in readout.dims)


def _at_least_seen(claim: _Axis, paths: list[Path], axis: int) -> _Axis:
    """Return a claim that is no smaller than what some unit sees at this size.

    Extents know no places: of two paths that see 0..2 and 3..5 each is 3 wide, their union 6. Rows of one and
    columns of the other meet where a transposed map is added to itself.
    """
    over = tuple(dict.fromkeys(atom for path in paths for atom in path.parts[axis].atoms))
    if prod(atom.size for atom in over) > MAX_UNITS:
        return claim
    seen = [0] * prod(atom.size for atom in over)
    for path in paths:
        seen = [a | b for a, b in zip(seen, path.parts[axis].spread(over).map.seen, strict=True)]
    hull, pixels = max(
        (bits.bit_length() - (bits & -bits).bit_length() + 1 if bits else 0, bits.bit_count())
        for bits in seen
    )
    return claim if hull <= claim.size else replace(claim, size=hull, pixels=pixels)


def _drifting(readout: Readout, planes: list[Plane], count: int) -> _Axis:
    """Return the axis of operands whose jumps differ: an extent at this size, and the jump of the trunk.

    A gate pooled from 7 to 3 and resized to 7 has jump 2 * 3/7 = 6/7 beside a trunk of jump 1: no step is
    common to both, though they are the same map but for the rounding of 7/2. The trunk is the operand with
    the simplest jump. Where the jumps are too far apart for a rounding (a factor of 2 or more), there is no
    step; nor where none was resized by a fraction and they drift apart by more than one step Q of the operand
    itself: 24 pooled by 5 are 4, resized to 24 again R(o + 6) = R(o) + 5, and 24 * (1 - 5/6) = 4 <= 5.
    """
    known = [p for p in planes if isinstance(p, Periodic)]
    hulls = []
    for index in range(count):
        low, bits = union_at(known, index)
        hulls.append((bits.bit_length(), bits.bit_count()))
    extents = [p for p in planes if isinstance(p, Extent)]
    size = max([*(hull for hull, _ in hulls), *(e.size for e in extents)])
    pixels = min([n for hull, n in hulls if hull == size] or [e.pixels for e in extents if e.size == size])
    flags = frozenset({"misaligned", "size-dependent"})
    axis = _Axis(size, min(hull for hull, _ in hulls), pixels, flags=flags)
    jumps = sorted({p.jump for p in known}, key=lambda jump: (jump.denominator, jump))
    resized = "size-dependent" in readout.state.flags
    rounded = all(abs(p.jump - jumps[0]) * count <= p.shift for p in known)
    if not (resized or rounded) or min(jumps) <= 0 or max(jumps) >= 2 * min(jumps):
        return axis
    low, bits = union_at(known, 0)
    centre = Fraction(2 * low + bits.bit_length() - 1, 2) if bits else None
    return replace(axis, jump=jumps[0], start=low if bits else None, centre=centre)


def _extent_flags(extent: Extent) -> frozenset[str]:
    flags = set()
    if extent.size_min == 0:
        flags.add("dead outputs")
    if extent.pixels < extent.size:
        flags.add("holes")
    return frozenset(flags)
