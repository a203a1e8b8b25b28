"""Exact index maps along one axis: what each output index reads, and which input positions it sees.

Integers and Fractions only. Two facts travel side by side: the set of input positions of every index, clipped at the
analysed size (one bitmask each), and the same on an unbounded plane (`Periodic`), where a map repeats after P outputs,
shifted by Q inputs: R(o + P) = R(o) + Q.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd, lcm, prod

__all__ = ["Extent", "IndexMap", "Periodic", "Plane", "Reads", "union_of_planes"]

MAX_PERIOD = 1 << 14
"""Phases that a periodic form may have before only its extent is kept."""


@dataclass(frozen=True, eq=False)
class Reads:
    """Which input indices each output index of one op reads, along one axis.

    Attributes:
        n_in: Length of the axis before the op.
        sources: For each output index, the input indices inside the map that it reads (borders already treated).
        period: On the unbounded plane, output o = m * period + p reads m * shift + t for every t in taps[p].
        shift: See `period`; negative where the op reverses the axis.
        taps: See `period`; None where the op has no such form.
        flags: Flags that the op adds to whatever passes through it.
    """

    n_in: int
    sources: tuple[tuple[int, ...], ...]
    period: int = 1
    shift: int = 1
    taps: tuple[tuple[int, ...], ...] | None = None
    flags: frozenset[str] = frozenset()

    @cached_property
    def n_out(self) -> int:
        """Length of the axis after the op."""
        return len(self.sources)

    @cached_property
    def is_identity(self) -> bool:
        """Whether every index reads itself alone, borders and unbounded plane included."""
        same_plane = self.taps is not None and self.period == self.shift == 1 and self.taps == ((0,),)
        return same_plane and self.n_in == self.n_out and all(s == (i,) for i, s in enumerate(self.sources))

    @cached_property
    def is_gather(self) -> bool:
        """Whether no output reads more than one input: pure data movement."""
        return all(len(s) <= 1 for s in self.sources)

    @cached_property
    def present(self) -> tuple[bool, ...]:
        """Whether each output index reads anything inside the map."""
        return tuple(bool(s) for s in self.sources)

    def tap_by_tap(self) -> list[Reads]:
        """Return pure data movements whose union this is."""
        taps = max(len(s) for s in self.sources)
        out = []
        for t in range(taps):
            sources = tuple(s[t : t + 1] for s in self.sources)
            out.append(Reads(self.n_in, sources, flags=self.flags))
        return out

    @classmethod
    def gather(cls, n_in: int, indices: Sequence[int], flags: frozenset[str] = frozenset()) -> Reads:
        """Return pure data movement: output o is input indices[o]; an index outside of the map reads nothing."""
        sources = tuple((i,) if 0 <= i < n_in else () for i in indices)
        step = indices[1] - indices[0] if len(indices) > 1 else 1
        if len(indices) == 0 or any(b - a != step for a, b in zip(indices, indices[1:], strict=False)):
            return cls(n_in, sources, flags=flags | {"size-dependent"})
        if step < 0:
            flags = flags | {"size-dependent"}
        return cls(n_in, sources, 1, step, ((indices[0],),), flags)


@dataclass(frozen=True)
class Extent:
    """What remains of an unbounded map without a periodic form: the largest and smallest extent, and the pixels.

    `is_global` marks a map that a global operation spread over the whole axis; the numbers then describe the local
    map that went into it.
    """

    size: int
    size_min: int
    pixels: int
    is_global: bool = False

    def merged(self, other: Extent) -> Extent:
        """Return the extent that covers both."""
        return Extent(
            max(self.size, other.size),
            min(self.size_min, other.size_min),
            max(self.pixels, other.pixels),
            self.is_global or other.is_global,
        )


@dataclass(frozen=True)
class Periodic:
    """An exact map on the unbounded plane: R(o + len(phases)) = R(o) + shift.

    Attributes:
        shift: Q above.
        phases: For each o in 0..P-1 the first position seen and a bitmask counted from there; bits 0: nothing.
    """

    shift: int
    phases: tuple[tuple[int, int], ...]

    @classmethod
    def identity(cls) -> Periodic:
        """Return the map of the input itself."""
        return cls(1, ((0, 1),))

    @cached_property
    def extent(self) -> Extent:
        """Extents over the phases."""
        sizes = [bits.bit_length() for _, bits in self.phases]
        widest = max(sizes)
        pixels = min(bits.bit_count() for _, bits in self.phases if bits.bit_length() == widest)
        return Extent(widest, min(sizes), pixels)

    @cached_property
    def has_holes(self) -> bool:
        """Whether some output skips positions inside its extent."""
        return any(bits.bit_count() != bits.bit_length() for _, bits in self.phases)

    @property
    def jump(self) -> Fraction:
        """Input positions for each output step."""
        return Fraction(self.shift, len(self.phases))

    def at(self, index: int) -> tuple[int, int]:
        """Return (first position, bits) of any output index."""
        turns, phase = divmod(index, len(self.phases))
        low, bits = self.phases[phase]
        return low + turns * self.shift, bits

    def centre(self, index: int) -> Fraction | None:
        """Return the middle of what an output index sees, None when it sees nothing."""
        low, bits = self.at(index)
        return Fraction(2 * low + bits.bit_length() - 1, 2) if bits else None

    def after(self, period: int, shift: int, taps: tuple[tuple[int, ...], ...]) -> Plane:
        """Return the map seen through an op whose output m * period + p reads m * shift + taps[p]."""
        count = len(self.phases)
        turns = count // gcd(count, shift)
        if period * turns > MAX_PERIOD:
            return self.extent
        phases = []
        for turn in range(turns):
            for phase in taps:
                phases.append(_union([self.at(turn * shift + tap) for tap in phase]))
        return _reduced(self.shift * shift * turns // count, tuple(phases))


Plane = Periodic | Extent
"""The unbounded side of a map: exact, or just its extent."""


def union_of_planes(planes: Sequence[Plane]) -> Plane | None:
    """Return the union of maps of one index; None when their jumps differ, so that they drift apart."""
    first, *rest = planes
    for plane in rest:
        if first is plane:
            continue
        if isinstance(first, Extent) or isinstance(plane, Extent):
            one = first if isinstance(first, Extent) else first.extent
            two = plane if isinstance(plane, Extent) else plane.extent
            first = one.merged(two)
            continue
        if first.shift * len(plane.phases) != plane.shift * len(first.phases):
            return None
        period = lcm(len(first.phases), len(plane.phases))
        phases = tuple(_union([first.at(o), plane.at(o)]) for o in range(period))
        first = _reduced(first.shift * period // len(first.phases), phases)
    return first


def covers(plane: Plane, other: Plane) -> bool:
    """Return whether every index sees on `plane` at least what it sees on `other`."""
    if plane is other:
        return True
    if isinstance(plane, Extent) or isinstance(other, Extent):
        if (
            not (isinstance(plane, Extent) and isinstance(other, Extent))
            or plane.is_global != other.is_global
        ):
            return False
        wider = plane.size >= other.size and plane.pixels >= other.pixels
        return wider and (plane.is_global or plane.size_min <= other.size_min)
    if plane.shift * len(other.phases) != other.shift * len(plane.phases):
        return False
    for o in range(lcm(len(plane.phases), len(other.phases))):
        (low, bits), (other_low, other_bits) = plane.at(o), other.at(o)
        if other_bits and (other_low < low or other_bits << (other_low - low) & ~bits):
            return False
    return True


def _union(sets: list[tuple[int, int]]) -> tuple[int, int]:
    if len(sets) == 1:
        return sets[0]
    lows = [low for low, bits in sets if bits]
    if not lows:
        return 0, 0
    start = min(lows)
    union = 0
    for low, bits in sets:
        if bits:
            union |= bits << (low - start)
    return start, union


def _reduced(shift: int, phases: tuple[tuple[int, int], ...]) -> Periodic:
    """Return the same map with its smallest period."""
    count = len(phases)
    for period in range(1, count):
        if count % period or shift * period % count:
            continue
        step = shift * period // count
        if all(
            bits == phases[o - period][1] and (not bits or low == phases[o - period][0] + step)
            for o, (low, bits) in enumerate(phases[period:], period)
        ):
            return Periodic(step, phases[:period])
    return Periodic(shift, phases)


class IndexMap:
    """What the indices of one or more dimensions see of one input axis.

    Attributes:
        seen: For each index (row-major over `shape`), the input positions seen at this size, as a bitmask.
        shape: Lengths of the dimensions that the index runs over; () where every unit sees the same.
        plane: The same on the unbounded plane, over the row-major index.
    """

    __slots__ = ("_after", "_covered", "plane", "seen", "shape")

    def __init__(self, seen: tuple[int, ...], shape: tuple[int, ...], plane: Plane) -> None:
        self.seen = seen
        self.shape = shape
        self.plane = plane
        self._after: dict[object, IndexMap] = {}
        self._covered: dict[IndexMap, bool] = {}

    @classmethod
    def identity(cls, size: int) -> IndexMap:
        """Return the map of the input axis itself."""
        return cls(tuple(1 << i for i in range(size)), (size,), Periodic.identity())

    def through(self, reads: Reads, dim: int = 0) -> IndexMap:
        """Return the map after an op along one of its dimensions."""
        if reads.is_identity:
            return self
        key = (reads, dim)
        if key not in self._after:
            self._after[key] = self._through(reads, dim)
        return self._after[key]

    def _through(self, reads: Reads, dim: int) -> IndexMap:
        inner = prod(self.shape[dim + 1 :])
        outer = prod(self.shape[:dim])
        seen = []
        for base in range(0, outer * reads.n_in * inner, reads.n_in * inner):
            for source in reads.sources:
                if inner == 1:
                    bits = 0
                    for i in source:
                        bits |= self.seen[base + i]
                    seen.append(bits)
                    continue
                for offset in range(base, base + inner):
                    bits = 0
                    for i in source:
                        bits |= self.seen[offset + i * inner]
                    seen.append(bits)
        shape = (*self.shape[:dim], reads.n_out, *self.shape[dim + 1 :])
        return IndexMap(tuple(seen), shape, self._plane_through(reads, outer, inner, tuple(seen)))

    def _plane_through(self, reads: Reads, outer: int, inner: int, seen: tuple[int, ...]) -> Plane:
        plane = self.plane
        if isinstance(plane, Periodic):
            if outer > 1 and inner == 1:
                # The dimension counts inside blocks: the op ends at the borders of each.
                return plane.after(reads.n_out, reads.n_in, reads.sources)
            if outer == 1 and reads.taps is not None:
                taps = tuple(
                    tuple(t * inner + r for t in phase) for phase in reads.taps for r in range(inner)
                )
                return plane.after(reads.period * inner, reads.shift * inner, taps)
            plane = plane.extent
        if plane.is_global or reads.is_gather:
            return plane
        return _clipped_extent(seen)

    def reduced(self, dims: tuple[int, ...]) -> IndexMap:
        """Return the union over some of its dimensions: what a mixing op along them sees."""
        key = ("reduced", dims)
        if key not in self._after:
            self._after[key] = self._reduced(dims)
        return self._after[key]

    def _reduced(self, dims: tuple[int, ...]) -> IndexMap:
        kept = tuple(d for d in range(len(self.shape)) if d not in dims)
        shape = tuple(self.shape[d] for d in kept)
        union = [0] * prod(shape)
        for target, bits in zip(_flat_indices(self.shape, kept), self.seen, strict=True):
            union[target] |= bits
        plane = self.plane
        if kept == tuple(range(len(kept))) and kept and isinstance(plane, Periodic):
            block = prod(self.shape[len(kept) :])
            plane = plane.after(1, block, (tuple(range(block)),))
        else:
            extent = plane if isinstance(plane, Extent) else plane.extent
            plane = Extent(extent.size, extent.size_min, extent.pixels, is_global=True)
        return IndexMap(tuple(union), shape, plane)

    def spread(self, shape: tuple[int, ...], dims: tuple[int, ...]) -> IndexMap:
        """Return the same map over more dimensions: its own become `dims` of `shape`; it is constant along the rest."""
        if dims == tuple(range(len(shape))):
            return self
        key = ("spread", shape, dims)
        if key not in self._after:
            seen = tuple(self.seen[i] for i in _flat_indices(shape, dims))
            plane = self.plane
            if isinstance(plane, Periodic):
                block = prod(shape[len(dims) :])
                trailing = dims == tuple(range(len(dims))) and dims
                plane = plane.after(block, 1, ((0,),) * block) if trailing else plane.extent
            self._after[key] = IndexMap(seen, shape, plane)
        return self._after[key]

    def reshaped(self, shape: tuple[int, ...]) -> IndexMap:
        """Return the same row-major map with other dimension lengths of the same product."""
        if shape == self.shape:
            return self
        key = ("reshaped", shape)
        if key not in self._after:
            self._after[key] = IndexMap(self.seen, shape, self.plane)
        return self._after[key]

    def kept(self, keep: tuple[bool, ...]) -> IndexMap:
        """Return the map with nothing seen at the (row-major) indices where `keep` is false."""
        seen = tuple(bits if flag else 0 for bits, flag in zip(self.seen, keep, strict=True))
        return IndexMap(seen, self.shape, self.plane)

    def covers(self, other: IndexMap) -> bool:
        """Return whether every index sees at least what it sees in `other`, clipped and unbounded."""
        if self is other:
            return True
        known = self._covered.get(other)
        if known is None:
            inside = all(not theirs & ~ours for ours, theirs in zip(self.seen, other.seen, strict=True))
            known = self._covered[other] = inside and covers(self.plane, other.plane)
        return known

    def union(self, other: IndexMap) -> IndexMap | None:
        """Return the union index by index; None when the two drift apart on the unbounded plane."""
        if self is other:
            return self
        plane = union_of_planes([self.plane, other.plane])
        if plane is None:
            return None
        seen = tuple(a | b for a, b in zip(self.seen, other.seen, strict=True))
        return IndexMap(seen, self.shape, plane)

    @property
    def is_empty(self) -> bool:
        """Whether no index sees anything, clipped and unbounded."""
        extent = self.plane if isinstance(self.plane, Extent) else self.plane.extent
        return not any(self.seen) and extent.size == 0


def _clipped_extent(seen: tuple[int, ...]) -> Extent:
    """Return the extent of clipped sets, for maps that have no unbounded form any more."""
    hulls = [
        (bits.bit_length() - (bits & -bits).bit_length() + 1 if bits else 0, bits.bit_count())
        for bits in seen
    ]
    widest = max(hull for hull, _ in hulls)
    return Extent(widest, min(h for h, _ in hulls), min(count for hull, count in hulls if hull == widest))


def _flat_indices(shape: tuple[int, ...], dims: tuple[int, ...]) -> list[int]:
    """Return, for each row-major index of `shape`, the row-major index over `dims` of it (in that order)."""
    strides = dict.fromkeys(range(len(shape)), 0)
    step = 1
    for d in reversed(dims):
        strides[d] = step
        step *= shape[d]
    flat = [0]
    for d, n in enumerate(shape):
        flat = [base + i * strides[d] for base in flat for i in range(n)]
    return flat
