"""Whether the operands of a join look at the same places: centres compared phase by phase.

Two operands are aligned iff they have the same jump Q/P and every output index has the same centre in both.
An average over the phases would not do: 2x2 transposed convolution is half a pixel to the left and half a
pixel to the right in turn. Global paths have no centre and are left out. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from rfcalc.maps.paths import Path
from rfcalc.maps.plane import Periodic, union_of_planes

__all__ = ["Shift", "aligned", "shifts"]


@dataclass(frozen=True)
class Shift:
    """How far the centres of one operand lie from those of another, along one axis, in input pixels.

    Attributes:
        low: The least over the phases; negative: towards the first pixel.
        high: The largest over the phases.
        mean: Their average; 0 where the phases lie evenly around the other operand's centres.
        jumps: Jumps of both operands; they differ where the two drift apart, and then `low`, `high` and
            `mean` hold for output 0 alone.
    """

    low: Fraction
    high: Fraction
    mean: Fraction
    jumps: tuple[Fraction, Fraction]

    @property
    def drifts(self) -> bool:
        """Whether the jumps differ, so that the shift grows with the position."""
        return self.jumps[0] != self.jumps[1]

    @property
    def is_aligned(self) -> bool:
        """Whether both operands look at the same place at every index."""
        return not self.drifts and self.low == self.high == 0

    @property
    def largest(self) -> Fraction:
        """The shift of the phase that is furthest off, without its sign."""
        return max(abs(self.low), abs(self.high))


def aligned(operands: Sequence[Sequence[Path]]) -> bool:
    """Return whether the local paths of all operands, over the same atoms, have the same centre function."""
    local = [kept for kept in ([path for path in paths if path.is_local] for paths in operands) if kept]
    if len(local) < 2:
        return True
    for axis in range(len(local[0][0].parts)):
        planes = _planes(local, axis)
        if any(plane is not planes[0] and not _same_centres(planes[0], plane) for plane in planes[1:]):
            return False
    return True


def shifts(one: Sequence[Path], two: Sequence[Path]) -> tuple[Shift | None, ...]:
    """Return the shift of one operand's local paths against another's along every input axis.

    Args:
        one: Paths of an operand.
        two: Paths of the other, over the same atoms.

    Returns:
        An entry for each axis; None where either has no periodic centre along it. () where either has no
        local path.
    """
    local = [[path for path in paths if path.is_local] for paths in (one, two)]
    if not all(local):
        return ()
    out: list[Shift | None] = []
    for axis in range(len(local[0][0].parts)):
        planes = _planes(local, axis)
        out.append(_shift(*planes) if len(planes) == 2 else None)
    return tuple(out)


def _planes(local: Sequence[Sequence[Path]], axis: int) -> list[Periodic]:
    """Return each operand's map along one axis; without those that have no periodic form."""
    parts = [path.parts[axis] for paths in local for path in paths]
    over = max((part.atoms for part in parts), key=len)
    if any(part.atoms != over and not set(part.atoms) <= set(over) for part in parts):
        return []
    # A view may leave an operand constant along some atoms: pixel shuffle, windows.
    planes = [union_of_planes([path.parts[axis].spread(over).map.plane for path in paths]) for paths in local]
    return [plane for plane in planes if isinstance(plane, Periodic)]


def _same_centres(one: Periodic, two: Periodic) -> bool:
    if one.shift * len(two.phases) != two.shift * len(one.phases):
        return False
    return not any(_doubled_shifts(one, two, lcm(len(one.phases), len(two.phases))))


def _doubled_shifts(one: Periodic, two: Periodic, count: int) -> list[int]:
    """Return by how many half pixels `two` lies after `one`, for every index where both see anything."""
    doubled = []
    for o in range(count):
        (low, bits), (other_low, other_bits) = one.at(o), two.at(o)
        if bits and other_bits:
            doubled.append(2 * (other_low - low) + other_bits.bit_length() - bits.bit_length())
    return doubled


def _shift(one: Periodic, two: Periodic) -> Shift | None:
    jumps = one.jump, two.jump
    count = lcm(len(one.phases), len(two.phases)) if jumps[0] == jumps[1] else 1
    doubled = _doubled_shifts(one, two, count)
    if not doubled:
        return None
    low, high = Fraction(min(doubled), 2), Fraction(max(doubled), 2)
    return Shift(low, high, Fraction(sum(doubled), 2 * len(doubled)), jumps)
