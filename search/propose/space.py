"""What a search may propose: dimensions with their allowed values, and the network that values stand for.

Every dimension is static and suggested for every trial: Optuna shrinks its joint space to the dimensions that
all trials share.
"""

import hashlib
import json
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, product

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from models.errors import SpecError
from models.fill import fill_budget, tied_stages, width_steps
from models.layers import STAGES
from models.spec import NetSpec, stage_widths, with_widths

Value = int | float | str
Values = Mapping[str, Value]
Choices = Mapping[str, Sequence[Value]]

STEP = 4
"""Widths are multiples of this: CPU and GPU kernels waste lanes on odd ones."""
NARROWEST, WIDEST = 0.75, 1.5
"""How far a stage may move from the width that the base network has, where nothing fills the budget."""
RATIOS = tuple(number / 8 for number in range(4, 17))
"""How wide a stage may be against C1, in terms of the base network, where the budget is filled."""


class Space(ABC):
    """What a search may propose."""

    @property
    @abstractmethod
    def choices(self) -> Choices:
        """Allowed values by dimension, ascending where they are numbers."""

    @abstractmethod
    def spec(self, values: Values) -> NetSpec:
        """Return the network that `values` stand for; a pure function.

        Raises:
            SpecError: The values do not go together, or no width makes the network fit.
        """

    @abstractmethod
    def anchors(self) -> Mapping[str, Values]:
        """Return known good proposals by name; they are tried first."""

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The dimensions for Optuna."""
        return {name: _distribution(values) for name, values in self.choices.items()}

    @property
    def size(self) -> int:
        """Number of different proposals; several may stand for the same network."""
        return math.prod(len(values) for values in self.choices.values())

    def proposals(self) -> Iterator[dict[str, Value]]:
        """Yield every proposal there is."""
        for values in product(*self.choices.values()):
            yield dict(zip(self.choices, values, strict=True))

    def draw(self, rng: random.Random) -> dict[str, Value]:
        """Return a proposal, each as likely as any other."""
        return {name: rng.choice(values) for name, values in self.choices.items()}


class TooLargeError(SpecError):
    """No width makes a network small enough."""


def filled(spec: NetSpec, max_params: int) -> NetSpec:
    """Return `spec` at widths, in multiples of `STEP`, that use up `max_params`.

    Raises:
        TooLargeError: Even the narrowest has more parameters.
    """
    try:
        return fill_budget(spec, max_params, STEP)
    except SpecError as error:
        raise TooLargeError(str(error)) from error


def fingerprint(spec: NetSpec) -> str:
    """Return the same text for the same network, whatever it is called."""
    facts = {key: value for key, value in spec.to_json().items() if key != "name"}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _distribution(values: Sequence[Value]) -> BaseDistribution:
    """Return evenly spaced numbers as numbers, which have an order, and anything else as categories."""
    numbers = [value for value in values if not isinstance(value, str)]
    steps = {after - before for before, after in pairwise(numbers)} or {1}
    if len(numbers) < len(values) or len(steps) > 1:
        return CategoricalDistribution(list(values))
    (step,) = steps
    if all(isinstance(number, int) for number in numbers):
        return IntDistribution(int(numbers[0]), int(numbers[-1]), step=int(step))
    return FloatDistribution(numbers[0], numbers[-1], step=step)


@dataclass(frozen=True)
class WidthSpace(Space):
    """The widths of C1..C4 of a base network.

    Attributes:
        base: The network.
        max_params: Where given, a proposal is the ratios of the stages, `c2_ratio` to `c4_ratio`, and widths
            are filled up to just under so many parameters. None: it is the widths themselves, `c1_width` to
            `c4_width`, each from three quarters to one and a half of what it is.
        narrowed: Allowed values of some dimensions, where they are fewer.

    Stages that a shortcut ties together are one dimension, that of the first.
    """

    base: NetSpec
    max_params: int | None = None
    narrowed: Choices = field(default_factory=dict)

    @cached_property
    def choices(self) -> Choices:
        """Allowed widths or ratios by dimension."""
        if self.max_params is not None:
            full: dict[str, Sequence[Value]] = {
                f"{STAGES[first]}_ratio": RATIOS for first, *_ in tied_stages(self.base)[1:]
            }
        else:
            full = {f"{STAGES[first]}_width": self._widths(first) for first, *_ in tied_stages(self.base)}
        return {name: self.narrowed.get(name, values) for name, values in full.items()}

    def spec(self, values: Values) -> NetSpec:
        """Return the network with the proposed widths, or filled up with the proposed ratios."""
        widths = list(stage_widths(self.base))
        steps = width_steps(self.base)
        for first, *others in tied_stages(self.base):
            for number in (first, *others):
                if self.max_params is None:
                    widths[number] = int(values[f"{STAGES[first]}_width"])
                elif first:
                    step = math.lcm(STEP, steps[number])
                    ratio = float(values[f"{STAGES[first]}_ratio"])
                    widths[number] = max(step, round(widths[number] * ratio / step) * step)
        spec = with_widths(self.base, widths)
        return spec if self.max_params is None else filled(spec, self.max_params)

    def anchors(self) -> Mapping[str, Values]:
        """Return the base network's own widths, if they are allowed."""
        widths = stage_widths(self.base)
        own: dict[str, Value] = {
            name: widths[STAGES.index(name[:2])] if self.max_params is None else 1.0 for name in self.choices
        }
        return {self.base.name: own} if all(own[name] in self.choices[name] for name in own) else {}

    def narrowest(self) -> NetSpec:
        """Return the base with every stage as narrow as the space lets it be.

        Raises:
            SpecError: These widths do not go together.
        """
        steps, widths = width_steps(self.base), list(stage_widths(self.base))
        for first, *others in tied_stages(self.base):
            for number in (first, *others):
                filled_up = self.max_params is not None
                widths[number] = math.lcm(STEP, steps[number]) if filled_up else self._widths(first)[0]
        return with_widths(self.base, widths)

    def _widths(self, number: int) -> range:
        step, width = math.lcm(STEP, width_steps(self.base)[number]), stage_widths(self.base)[number]
        return range(
            max(step, round(width * NARROWEST / step) * step), int(width * WIDEST / step) * step + 1, step
        )
