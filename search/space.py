"""What a search may propose: the channel widths of a given network.

Every dimension is static and suggested for every trial: Optuna shrinks its joint space to the dimensions that
all trials share.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from optuna.distributions import BaseDistribution, IntDistribution

from models.spec import NetSpec, stage_widths, with_widths

STEP = 4
"""Widths are multiples of this: CPU and GPU kernels waste lanes on odd ones."""
NARROWEST, WIDEST = 0.75, 1.5
"""How far a stage may move from the width that the base network has."""


@dataclass(frozen=True)
class WidthSpace:
    """The widths of C1..C4 of `base`, each from three quarters to one and a half of what it is."""

    base: NetSpec

    @cached_property
    def choices(self) -> dict[str, range]:
        """Allowed widths by dimension, `c1_width` to `c4_width`."""
        return {
            f"c{number}_width": range(
                max(STEP, round(width * NARROWEST / STEP) * STEP), int(width * WIDEST / STEP) * STEP + 1, STEP
            )
            for number, width in enumerate(stage_widths(self.base), start=1)
        }

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The same for Optuna."""
        return {
            name: IntDistribution(widths[0], widths[-1], step=STEP) for name, widths in self.choices.items()
        }

    @property
    def size(self) -> int:
        """Number of different proposals."""
        return math.prod(len(widths) for widths in self.choices.values())

    def spec(self, values: Mapping[str, int]) -> NetSpec:
        """Return the network with the proposed widths."""
        return with_widths(self.base, [values[name] for name in self.choices])

    def proposals(self) -> Iterator[dict[str, int]]:
        """Yield every proposal there is."""
        for widths in product(*self.choices.values()):
            yield dict(zip(self.choices, widths, strict=True))
