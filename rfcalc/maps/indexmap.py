"""Exact index maps along one axis: what each output index reads, and which input positions it sees.

Two facts travel side by side: the set of input positions of every index, clipped layer by layer at the
analysed size (one bitmask each), and the same on an unbounded plane (rfcalc/maps/plane.py). Knows no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod

from rfcalc.maps.plane import Extent as Extent
from rfcalc.maps.plane import Periodic as Periodic
from rfcalc.maps.plane import Plane as Plane
from rfcalc.maps.plane import covers as covers
from rfcalc.maps.plane import union_of_planes as union_of_planes

__all__ = ["IndexMap", "Reads"]


@dataclass(frozen=True, eq=False)
class Reads:
    """Which input indices each output index of one op reads, along one axis.

    Attributes:
        n_in: Length of the axis before the op.
        sources: For each output index, the input indices inside the map that it reads (borders already
            treated).
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
        """Return pure data movement: output o is input indices[o]; outside of the map there is nothing."""
        sources = tuple((i,) if 0 <= i < n_in else () for i in indices)
        step = indices[1] - indices[0] if len(indices) > 1 else 1
        if len(indices) == 0 or any(b - a != step for a, b in pairwise(indices)):
            return cls(n_in, sources, flags=flags | {"size-dependent"})
        if step < 0:
            flags = flags | {"size-dependent"}
        return cls(n_in, sources, 1, step, ((indices[0],),), flags)


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
        """Return the map over more dimensions: its own become `dims` of `shape`, the rest repeat it."""
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
