"""Course: what changes from step to step of a run, each a function of (seed, epoch, step) alone.

So a checkpoint holds no state of generators, wherever in an epoch it is written.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.batches.mixing import Mix, draw_mix
from training.fit.optim import learning_rate
from training.fit.recipe import Recipe

_TORCH, _MIX = 2, 3
"""First element of the keys of random streams, beside those of `training.batches.chunks`."""


@dataclass(frozen=True)
class Course:
    """The numbers of every step; epochs count from 1, steps of an epoch from 0."""

    recipe: Recipe
    seed: int
    steps: int
    """Steps an epoch."""
    image_size: tuple[int, int]

    def done(self, epoch: int, step: int) -> int:
        """Return the steps of the run before this one."""
        return (epoch - 1) * self.steps + step

    def rate(self, epoch: int, step: int) -> float:
        """Return the learning rate."""
        return learning_rate(self.recipe, self.done(epoch, step), self.steps * self.recipe.epochs)

    def size(self, epoch: int) -> tuple[int, int]:
        """Return the height and width that the network's images have, in pixels."""
        if epoch > round(self.recipe.small_share * self.recipe.epochs):
            return self.image_size
        height, width = (max(1, round(n * self.recipe.small_scale)) for n in self.image_size)
        return height, width

    def mix(self, epoch: int, step: int) -> Mix:
        """Return how the batch is mixed."""
        random = np.random.Generator(np.random.PCG64([_MIX, self.seed, epoch, step]))
        share = self.done(epoch, step) / (self.steps * self.recipe.epochs)
        return draw_mix(self.recipe, share, self.image_size, random)

    def torch_seed(self, epoch: int, step: int) -> int:
        """Return 64 bits for torch's own generator, from which dropout is drawn."""
        key = (_TORCH, self.seed, epoch, step)
        return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
