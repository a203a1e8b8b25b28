"""The neighbourhood of the presets: the space of `--sampler climb`, which has moves instead of dimensions."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.spec import NetSpec
from search.propose.space import Choices, Space, Values

AROUND = "around"
"""What `--space` calls it."""
CLIMBERS = ("climb", "random-moves")
"""Samplers of this space: the second one is the control, random moves of the presets."""


@dataclass(frozen=True)
class AroundSpace(Space):
    """Whatever moves make of the presets.

    Attributes:
        base: The preset that precision and layout of all trainings are chosen for.
    """

    base: NetSpec

    @property
    def choices(self) -> Choices:
        """No dimension: a network here is no list of values."""
        return {}

    def spec(self, values: Values) -> NetSpec:
        """Return the base network, which corresponds to no values."""
        return self.base

    def anchors(self) -> Mapping[str, Values]:
        """Return none: the presets are the first generation."""
        return {}
