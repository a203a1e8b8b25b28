"""Maps of one axis on the unbounded plane: exact where they are periodic, else just their extent.

A map says which input positions each output index sees. It repeats after P outputs, shifted by Q inputs:
R(o + P) = R(o) + Q. Integers and Fractions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import gcd, lcm

__all__ = ["Extent", "Periodic", "Plane", "covers", "union_at", "union_of_planes"]

MAX_PERIOD = 1 << 14
"""Phases that a periodic form may have before only its extent is kept."""


@dataclass(frozen=True)
class Extent:
    """What remains of an unbounded map without a periodic form: its largest and smallest extent, its pixels.

    `is_global` marks a map that a global operation spread over the whole axis; the numbers then describe the
    local map that went into it.
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
        phases: For each o in 0..P-1 the first position seen and a bitmask counted from there; bits 0:
            nothing.
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
        """Return the map seen through an op whose output m * period + p reads m * shift + taps[p].

        With R(i + P) = R(i) + Q before and m * b + p reading m * a + taps[p], the composition repeats after
        t = P / gcd(P, a) turns of the op: P' = b * t, Q' = Q * a * t / P. Nearest x2 (P = 2, Q = 1), then a
        convolution of stride 3 (b = 1, a = 3): t = 2 / gcd(2, 3) = 2, P' = 2, Q' = 1 * 3 * 2 / 2 = 3: jump
        3/2 = 1/2 * 3. For m + t instead of m every read index grows by a * t, a multiple of P.
        """
        count = len(self.phases)
        # The op must run t times before its reads have moved by whole periods of this map.
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
        # Equal jumps Q/P, so that both repeat after the common multiple of their periods.
        first = _reduced(first.shift * period // len(first.phases), phases)
    return first


def union_at(planes: Sequence[Periodic], index: int) -> tuple[int, int]:
    """Return (first position, bits) of what an index sees on any of some maps."""
    return _union([plane.at(index) for plane in planes])


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
