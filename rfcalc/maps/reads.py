"""Reads: which input indices each output index of one op reads, along one axis. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

__all__ = ["Reads"]


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
        return _gather(n_in, tuple(indices), flags)


@lru_cache(maxsize=1024)
def _gather(n_in: int, indices: tuple[int, ...], flags: frozenset[str]) -> Reads:
    # Equal movements are one object: maps remember what came of each, and are then compared by identity.
    sources = tuple((i,) if 0 <= i < n_in else () for i in indices)
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    if len(indices) == 0 or any(b - a != step for a, b in pairwise(indices)):
        return Reads(n_in, sources, flags=flags)
    return Reads(n_in, sources, 1, step, ((indices[0],),), flags)
