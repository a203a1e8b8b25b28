"""Optimiser, learning rate and moving average, as a recipe asks for them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from training.errors import TrainingError
from training.recipe import Recipe

FIRST_RATE = 1 / 25
"""Of the highest learning rate: where the warm-up begins."""


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Build the recipe's optimiser; weight decay is for kernels and matrices, not for norms and biases.

    Raises:
        TrainingError: The network has nothing to train.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise TrainingError("the network has no parameter to train")
    groups = [
        {"params": [each for each in trained if each.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [each for each in trained if each.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    # One fused kernel instead of several for each of a hundred small tensors.
    fused = all(each.device.type in ("cpu", "cuda") and each.is_floating_point() for each in trained)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999), fused=fused)
    nesterov = recipe.momentum > 0
    return torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=nesterov, fused=fused
    )


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of a step.

    Args:
        recipe: Its highest rate, warm-up and schedule.
        step: Counted from 0 over the whole run.
        steps: Of the whole run.
    """
    warmup = recipe.warmup * steps
    if step < warmup:
        return recipe.learning_rate * (FIRST_RATE + (1 - FIRST_RATE) * step / warmup)
    # The last step is not wasted on a rate of zero: zero would be the step after it.
    left = (steps - step) / max(steps - warmup, 1)
    if recipe.schedule == "cosine":
        return recipe.learning_rate * (1 - math.cos(math.pi * left)) / 2
    return recipe.learning_rate * left


class Ema:
    """Exponential moving average of everything in a network's state: parameters and buffers alike.

    The decay follows the length of the run, a horizon in steps, and grows into it: decay(t) =
    min(1 - 1 / horizon, (1 + t) / (10 + t)). A fixed 0.999 over 60 steps would be little but the random
    start.

    Args:
        model: Its state when the average begins.
        horizon: Steps over which the average looks back; at most 1: the average is the last state.
    """

    def __init__(self, model: nn.Module, horizon: float) -> None:
        self._model = model
        self._decay = 1 - 1 / max(horizon, 1.0)
        self._steps = 0
        self._average = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network as it is after a step."""
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps)) if self._decay else 0.0
        self._steps += 1
        state = self._model.state_dict()
        floating = [name for name, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self._average[name] for name in floating], [state[name] for name in floating], 1 - decay
        )
        for name in state.keys() - set(floating):  # counters of batches
            self._average[name].copy_(state[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Hold the averages in the network for a while, then put the trained state back."""
        trained = {name: value.detach().clone() for name, value in self._model.state_dict().items()}
        self.store()
        try:
            yield
        finally:
            self._model.load_state_dict(trained)

    def store(self) -> None:
        """Put the averages into the network for good."""
        self._model.load_state_dict(self._average)

    def state_dict(self) -> dict[str, object]:
        """Return what `load_state_dict` needs to go on."""
        return {"steps": self._steps, "average": self._average}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from `state_dict()` of another Ema of the same network and horizon."""
        average, steps = state["average"], state["steps"]
        if (
            not isinstance(average, dict)
            or not isinstance(steps, int)
            or average.keys() != self._average.keys()
        ):
            raise TrainingError("the checkpoint's moving average is not of this network")
        self._steps = steps
        for name, value in average.items():
            self._average[name].copy_(value)
