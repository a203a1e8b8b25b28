"""Member: one network of a gang, and what is reported of it."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from records.run import EpochRecord
from training.errors import TrainingError
from training.fit.engine import Run
from training.fit.recipe import Recipe
from training.fit.stepping import Batches

Key = Hashable
"""The name of a network, for whoever submits it."""


_DROPOUTS = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)


def draws(model: nn.Module) -> bool:
    """Return whether a network draws random numbers in training: whether it has dropout."""
    return any(isinstance(module, _DROPOUTS) for module in model.modules())


class GangBrokenError(TrainingError):
    """The device's context is of no more use, so that every member fails; `keys` names those that ran.

    The process has to end. What was in the gang is to be trained again one by one, in a process each, so that
    the member that broke it fails alone.
    """

    def __init__(self, text: str, keys: tuple[Key, ...]) -> None:
        super().__init__(text)
        self.keys = keys


@dataclass(frozen=True, eq=False)
class EpochEnded:
    """A member ended an epoch; it goes on in the next round unless it is stopped, or this was the last."""

    key: Key
    record: EpochRecord
    losses: npt.NDArray[np.float64] | None
    """(N,) cross-entropy of each validation image with the averaged weights; None: nothing is validated."""


@dataclass(frozen=True, eq=False)
class MemberEnded:
    """A member left the gang; unless it failed, its network holds the averaged weights."""

    key: Key
    state: str
    """"complete", "stopped" or "failed"."""
    epochs: tuple[EpochRecord, ...]
    recipe: Recipe
    """What was followed, "auto" replaced by what was chosen where the training began."""
    losses: npt.NDArray[np.float64] | None = None
    """(N,) as those of its last `EpochEnded`."""
    reason: str | None = None
    """One line, for a member that failed."""


class Member:
    """A network that is waiting or in training."""

    def __init__(self, key: Key, model: nn.Module, recipe: Recipe, seed: int, teacher: nn.Module | None):
        self.key, self.model, self.recipe, self.seed, self.teacher = key, model, recipe, seed, teacher
        self.run: Run | None = None
        self.batches: Batches | None = None
        self.stream: Any = None
        self.losses: npt.NDArray[np.float64] | None = None
        self.stopped = False
        self.stack = ExitStack()

    @property
    def epochs(self) -> tuple[EpochRecord, ...]:
        """Return the epochs that are done."""
        return () if self.run is None else tuple(self.run.epochs)

    def ended(self, state: str, reason: str | None = None) -> MemberEnded:
        """Return how it ended."""
        recipe = self.recipe if self.run is None else self.run.recipe
        return MemberEnded(self.key, state, self.epochs, recipe, self.losses, reason)
