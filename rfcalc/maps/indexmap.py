"""Exact index maps along one axis: what each output index reads, and which input positions it sees.

Two facts travel side by side: the set of input positions of every index, clipped layer by layer at the
analysed size (one bitmask each), and the same on an unbounded plane (rfcalc/maps/plane.py). Knows no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import and_, invert, or_

from rfcalc.maps.moved import NOWHERE, affine_reads, flat_indices
from rfcalc.maps.plane import Extent as Extent
from rfcalc.maps.plane import Periodic as Periodic
from rfcalc.maps.plane import Plane as Plane
from rfcalc.maps.plane import covers as covers
from rfcalc.maps.plane import union_of_planes as union_of_planes
from rfcalc.maps.reads import Reads as Reads

__all__ = ["IndexMap", "Reads"]


class IndexMap:
    """What the indices of one or more dimensions see of one input axis.

    Attributes:
        seen: For each index (row-major over `shape`), the input positions seen at this size, as a bitmask.
        shape: Lengths of the dimensions that the index runs over; () where every unit sees the same.
        plane: The same on the unbounded plane, over the row-major index.
        origin: The map before a movement without a periodic form (rfcalc/maps/moved.py); None for others.
        sources: For each index, the row-major index of `origin` that was moved there, or `NOWHERE`.
    """

    __slots__ = ("_after", "_covered", "_regular", "_unseen", "origin", "plane", "seen", "shape", "sources")

    def __init__(
        self,
        seen: tuple[int, ...],
        shape: tuple[int, ...],
        plane: Plane,
        origin: IndexMap | None = None,
        sources: tuple[int, ...] = (),
    ) -> None:
        self.seen = seen
        self.shape = shape
        self.plane = plane
        self.origin = origin
        self.sources = sources
        self._after: dict[object, IndexMap] = {}
        self._covered: dict[IndexMap, bool] = {}
        self._unseen: tuple[int, ...] | None = None
        self._regular: tuple[tuple[int, ...], IndexMap] | bool | None = False

    @classmethod
    def identity(cls, size: int) -> IndexMap:
        """Return the map of the input axis itself."""
        return cls(tuple(1 << i for i in range(size)), (size,), Periodic.identity())

    def _moved(self, indices: Sequence[int], shape: tuple[int, ...], plane: Plane) -> IndexMap:
        """Return the map whose index o is this map's index indices[o], or nothing; it remembers the way."""
        seen = self.seen
        if NOWHERE in indices:
            moved = tuple([seen[i] if i >= 0 else 0 for i in indices])
        else:
            moved = tuple([seen[i] for i in indices])
        if self.origin is not None:
            before = self.sources
            return IndexMap(
                moved, shape, plane, self.origin, tuple([before[i] if i >= 0 else NOWHERE for i in indices])
            )
        if isinstance(self.plane, Extent):
            return IndexMap(moved, shape, plane)
        return IndexMap(moved, shape, plane, self, tuple(indices))

    @property
    def regular(self) -> tuple[tuple[int, ...], IndexMap] | None:
        """The periodic form of a map whose movements cancel: (dimensions that matter, map over those)."""
        if self.origin is None:
            return None
        if isinstance(self._regular, bool):
            found = affine_reads(self.shape, self.sources, len(self.origin.seen))
            self._regular = None
            if found is not None:
                dims, reads = found
                flat = self.origin.reshaped((len(self.origin.seen),))
                there, shape = flat.through(reads), tuple(self.shape[d] for d in dims)
                # The very same map where possible: equal maps are then compared by identity.
                same = there is flat and shape == self.origin.shape
                self._regular = dims, self.origin if same else there.reshaped(shape)
        return self._regular

    def columns(self, dim: int) -> list[tuple[int, ...] | None] | None:
        """Return the sources at each index of one dimension, None where nothing is seen there.

        None for a map that was not moved.
        """
        if self.origin is None:
            return None
        inner, n = prod(self.shape[dim + 1 :]), self.shape[dim]
        columns: list[tuple[int, ...] | None] = []
        for i in range(n):
            column = tuple(
                source
                for base in range(i * inner, len(self.sources), n * inner)
                for source in self.sources[base : base + inner]
            )
            columns.append(None if all(source == NOWHERE for source in column) else column)
        return columns

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
        shape = (*self.shape[:dim], reads.n_out, *self.shape[dim + 1 :])
        bases = range(0, outer * reads.n_in * inner, reads.n_in * inner)
        if reads.is_gather:
            plane = self._plane_through(reads, outer, inner, ())
            if isinstance(plane, Extent) or self.origin is not None:
                rows = [source[0] * inner if source else NOWHERE for source in reads.sources]
                indices = [
                    base + row + offset if row >= 0 else NOWHERE
                    for base in bases
                    for row in rows
                    for offset in range(inner)
                ]
                return self._moved(indices, shape, plane)
        seen = []
        for base in bases:
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

    def reduced(self, dims: tuple[int, ...], *, branches: bool = False) -> IndexMap:
        """Return the union over some of its dimensions: what a mixing op along them sees.

        Args:
            dims: The dimensions.
            branches: They number stacked branches, so that nothing is spread over an input axis.
        """
        key = ("reduced", dims, branches)
        if key not in self._after:
            self._after[key] = self._reduced(dims, branches)
        return self._after[key]

    def _reduced(self, dims: tuple[int, ...], branches: bool) -> IndexMap:
        kept = tuple(d for d in range(len(self.shape)) if d not in dims)
        shape = tuple(self.shape[d] for d in kept)
        targets = flat_indices(self.shape, kept)
        plane = self._plane_reduced(kept, branches)
        if self.origin is not None:
            # One source for each index at most, e.g. one of several stacked branches: still a movement.
            chosen = [NOWHERE] * prod(shape)
            for target, source in zip(targets, self.sources, strict=True):
                if source != NOWHERE:
                    if chosen[target] not in (NOWHERE, source):
                        break
                    chosen[target] = source
            else:
                local = plane if isinstance(plane, Periodic) else self._plane_reduced(kept, True)
                return self.origin._moved(chosen, shape, local)
        union = [0] * prod(shape)
        for target, bits in zip(targets, self.seen, strict=True):
            union[target] |= bits
        return IndexMap(tuple(union), shape, plane)

    def _plane_reduced(self, kept: tuple[int, ...], branches: bool) -> Plane:
        plane = self.plane
        if kept == tuple(range(len(kept))) and kept and isinstance(plane, Periodic):
            block = prod(self.shape[len(kept) :])
            return plane.after(1, block, (tuple(range(block)),))
        extent = plane if isinstance(plane, Extent) else plane.extent
        return Extent(extent.size, extent.size_min, extent.pixels, extent.is_global or not branches)

    def spread(self, shape: tuple[int, ...], dims: tuple[int, ...]) -> IndexMap:
        """Return the map over more dimensions: its own become `dims` of `shape`, the rest repeat it."""
        if dims == tuple(range(len(shape))):
            return self
        key = ("spread", shape, dims)
        if key not in self._after:
            plane = self.plane
            if isinstance(plane, Periodic):
                block = prod(shape[len(dims) :])
                trailing = dims == tuple(range(len(dims))) and dims
                plane = plane.after(block, 1, ((0,),) * block) if trailing else plane.extent
            self._after[key] = self._moved(flat_indices(shape, dims), shape, plane)
        return self._after[key]

    def reshaped(self, shape: tuple[int, ...]) -> IndexMap:
        """Return the same row-major map with other dimension lengths of the same product."""
        if shape == self.shape:
            return self
        key = ("reshaped", shape)
        if key not in self._after:
            self._after[key] = IndexMap(self.seen, shape, self.plane, self.origin, self.sources)
        return self._after[key]

    def kept(self, keep: tuple[bool, ...]) -> IndexMap:
        """Return the map with nothing seen at the (row-major) indices where `keep` is false."""
        return self._moved([i if flag else NOWHERE for i, flag in enumerate(keep)], self.shape, self.plane)

    def covers(self, other: IndexMap) -> bool:
        """Return whether every index sees at least what it sees in `other`, clipped and unbounded."""
        if self is other:
            return True
        known = self._covered.get(other)
        if known is None:
            known = self._covered[other] = self._covers(other)
        return known

    def _covers(self, other: IndexMap) -> bool:
        if self.origin is not None and other.origin is not None and self.sources == other.sources:
            return self.origin.covers(other.origin)
        if self._unseen is None:
            self._unseen = tuple(map(invert, self.seen))
        inside = not any(map(and_, other.seen, self._unseen))
        return inside and covers(self.plane, other.plane)

    def union(self, other: IndexMap, *, forced: bool = False) -> IndexMap | None:
        """Return the union index by index.

        Args:
            other: A map over the same index.
            forced: Also where the union has less of a periodic form than both maps have.

        Returns:
            None where the two drift apart on the unbounded plane, or (not `forced`) were moved from different
            places, each of which may be cut out again.
        """
        if self is other:
            return self
        origin = None
        if self.origin is not None and other.origin is not None and self.sources == other.sources:
            origin = self.origin.union(other.origin)
        if origin is None and not forced and (NOWHERE in self.sources or NOWHERE in other.sources):
            return None
        plane = union_of_planes([self.plane, other.plane])
        if plane is None:
            return None
        seen = tuple(map(or_, self.seen, other.seen))
        if isinstance(plane, Extent) and not plane.is_global:
            # Extents know no places: 0..2 and 3..5 are 3 wide each, their union is 6.
            here = _clipped_extent(seen)
            if here.size > plane.size:
                plane = Extent(here.size, plane.size_min, here.pixels)
        return IndexMap(seen, self.shape, plane, origin, self.sources if origin is not None else ())

    @property
    def is_empty(self) -> bool:
        """Whether no index sees anything, clipped and unbounded."""
        if any(self.seen):
            return False
        extent = self.plane if isinstance(self.plane, Extent) else self.plane.extent
        moved_away = self.origin is not None and all(source == NOWHERE for source in self.sources)
        return moved_away or extent.size == 0


def _clipped_extent(seen: tuple[int, ...]) -> Extent:
    """Return the extent of clipped sets, for maps that have no unbounded form any more."""
    hulls = [
        (bits.bit_length() - (bits & -bits).bit_length() + 1 if bits else 0, bits.bit_count())
        for bits in seen
    ]
    widest = max(hull for hull, _ in hulls)
    return Extent(widest, min(h for h, _ in hulls), min(count for hull, count in hulls if hull == widest))
