"""Field: what one tensor's units see of the network's input."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

__all__ = ["FLAGS", "Field", "Reach", "Spans"]

FLAGS = (
    "holes",
    "phase-dependent",
    "misaligned",
    "wraps",
    "dead outputs",
    "data-dependent",
    "bounding box",
    "upper bound",
    "size-dependent",
    "probed",
    "unknown",
)
"""Every flag that a Field can carry."""


class Reach(Protocol):
    """The clipped sets behind a Field: which input positions every output unit depends on."""

    @property
    def positions(self) -> tuple[int, ...]:
        """The shape of the unit grid, e.g. (h, w); () for a vector."""

    @property
    def input_size(self) -> tuple[int, ...]:
        """The input's spatial size, e.g. (224, 224)."""

    @property
    def map_dims(self) -> tuple[tuple[int, bool], ...]:
        """Length of each spatial dimension of a map (N, C, *spatial), and whether units differ along it.

        () for a tensor that is no such map.
        """

    def products(self, index: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """The unit's pixels as a union of products: a bitmask for each axis in each product."""


@dataclass(frozen=True)
class Spans:
    """What every unit along one axis spans on the unbounded plane, by phase.

    `start + unit * jump` holds for the units of phase 0 alone. The layer `up1` of examples/decoder.py has
    shift 4 and phases ((-8, 13), (-4, 13)): units 0, 1, 2, 3 start at -8, -4, -4, 0, though the jump is 2.

    Attributes:
        shift: Input pixels from a unit to the next one of the same phase.
        phases: For each phase the first pixel and the extent of its first unit; extent 0: nothing is seen.
    """

    shift: int
    phases: tuple[tuple[int, int], ...]

    def at(self, unit: int) -> tuple[int, int]:
        """Return the first pixel and the extent of a unit: phase `unit % P`, moved by `unit // P` shifts."""
        turns, phase = divmod(unit, len(self.phases))
        first, extent = self.phases[phase]
        return first + turns * self.shift, extent


@dataclass(frozen=True)
class Field:
    """The receptive field of one tensor, in input pixels, one entry for each spatial axis.

    Two views side by side: `size` to `pixels` describe an unbounded plane (no borders), while `inputs_seen`
    and `mask` are clipped layer by layer at the analysed input size. Pixel i has its centre at i.

    Attributes:
        size: Extent in input pixels, the largest over phases; 0 when no output depends on the input. Where
            `is_global`, the extent of the paths that avoid global operations.
        size_min: The smallest extent over phases (0: some outputs are dead).
        jump: Input pixels for each output step; None where there is no constant step.
        start: First pixel that output 0 sees (negative: inside the padding); None where there is none.
        centre: Middle of what output 0 sees, a multiple of 1/2; None where there is none.
        pixels: Rows or columns within `size` that are really seen; fewer than `size` means holes.
        is_global: A global operation puts the whole image in view.
        flags: Subset of `FLAGS`.
        spans: For each axis the unbounded span of every unit; None where `start` is.
    """

    size: tuple[int, ...]
    size_min: tuple[int, ...]
    jump: tuple[Fraction | None, ...]
    start: tuple[int | None, ...]
    centre: tuple[Fraction | None, ...]
    pixels: tuple[int, ...]
    is_global: bool
    flags: frozenset[str]
    reach: Reach = field(repr=False, compare=False)
    spans: tuple[Spans | None, ...] = field(default=(), repr=False, compare=False)

    @property
    def positions(self) -> tuple[int, ...]:
        """The shape that `inputs_seen` and `mask` are indexed with: (h, w) of the map, () for a vector."""
        return self.reach.positions

    def inputs_seen(self, *index: int) -> tuple[frozenset[int], ...]:
        """Return, for each input axis, the input indices that the unit at `index` depends on.

        Args:
            *index: The unit's position, e.g. y, x; 0, 0 for a map of 1x1; nothing for a vector. Negative
                indices count from the end.

        Returns:
            One frozenset for each input axis: (rows, columns) for images. The exact pixels may be fewer than
            the grid that they span; see `mask`.

        Raises:
            IndexError: The index has another length than `positions`, or lies outside of it.
        """
        union = [0] * len(self.reach.input_size)
        for product in self.reach.products(self._checked(index)):
            union = [seen | bits for seen, bits in zip(union, product, strict=True)]
        return tuple(_indices(bits) for bits in union)

    def mask(self, *index: int) -> torch.Tensor:
        """Return the exact input pixels of the unit at `index`.

        Returns:
            A boolean tensor of the input's spatial shape, e.g. (H, W), on the CPU.

        Raises:
            IndexError: The index has another length than `positions`, or lies outside of it.
        """
        import torch

        size = self.reach.input_size
        mask = torch.zeros(size, dtype=torch.bool)
        for product in self.reach.products(self._checked(index)):
            axes = [
                torch.tensor([bits >> i & 1 for i in range(n)], dtype=torch.bool)
                for bits, n in zip(product, size, strict=True)
            ]
            grid = axes[0]
            for axis in axes[1:]:
                grid = grid[..., None] & axis
            mask |= grid
        return mask

    def _checked(self, index: tuple[int, ...]) -> tuple[int, ...]:
        shape = self.positions
        dims = self.reach.map_dims
        if len(index) == len(dims) > len(shape):
            # After global pooling all units of a map see the same: they have an index, but no position.
            if all(-n <= i < n for i, (n, _) in zip(index, dims, strict=True)):
                index = tuple(i for i, (_, differs) in zip(index, dims, strict=True) if differs)
            else:
                raise IndexError(f"unit {index} lies outside of the grid {tuple(n for n, _ in dims)}")
        if len(index) != len(shape):
            raise IndexError(f"a unit of this tensor has {len(shape)} indices (grid {shape}), got {index}")
        if any(not -n <= i < n for i, n in zip(index, shape, strict=True)):
            raise IndexError(f"unit {index} lies outside of the grid {shape}")
        return tuple(i % n for i, n in zip(index, shape, strict=True))


def _indices(bits: int) -> frozenset[int]:
    return frozenset(i for i in range(bits.bit_length()) if bits >> i & 1)
