"""Optimiser and learning rate, as a recipe asks for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from training.errors import TrainingError
from training.fit.muon import Muon
from training.fit.recipe import Recipe

FIRST_RATE = 1 / 25
"""Learning rate at which the warm-up begins, as a share of the highest."""


class Optimizers:
    """One optimiser, or several that share the parameters of a network between them.

    Args:
        members: Each group of them may hold "share": its learning rate as a multiple of the recipe's.
    """

    def __init__(self, members: list[torch.optim.Optimizer]) -> None:
        self._members = members

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The parameter groups of all members, one after the other."""
        return [group for member in self._members for group in member.param_groups]

    def step(self, rate: float | torch.Tensor) -> None:
        """Update every parameter; `rate` is the recipe's learning rate of this moment, a number or ()."""
        for group in self.param_groups:
            group["lr"] = rate * group.get("share", 1.0)
        for member in self._members:
            member.step()

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for member in self._members:
            member.zero_grad(set_to_none=True)

    def materialise(self) -> None:
        """Make the state that a first step would make: a recording needs its tensors beforehand.

        Momenta of zero: m * 0 + g is the g with which torch and `Muon` begin.
        """
        gradients = [
            (parameter, parameter.grad) for group in self.param_groups for parameter in group["params"]
        ]
        held = [(tensor, tensor.clone()) for tensor in self.tensors()]  # of a run that is resumed
        had = {id(tensor) for tensor, _ in held}
        for parameter, _ in gradients:
            parameter.grad = torch.zeros_like(parameter)
        self.step(0.0)
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for tensor, value in held:
            tensor.copy_(value)
        for tensor in self.tensors():
            if id(tensor) not in had:
                tensor.zero_()

    def tensors(self) -> list[torch.Tensor]:
        """Return the tensors of the state: momenta, and counters of steps."""
        states = (state for member in self._members for state in member.state.values())
        return [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to go on."""
        states = [member.state_dict() for member in self._members]
        for member, state in zip(self._members, states, strict=True):
            for group in state["param_groups"]:
                if isinstance(group["lr"], torch.Tensor):  # it lies where a recording computes
                    group["lr"] = member.defaults["lr"]
        return {"members": states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the state of the same optimisers of the same network; the recipe's settings stay."""
        for member, saved in zip(self._members, state["members"], strict=True):
            groups = member.state_dict()["param_groups"]
            member.load_state_dict({"state": saved["state"], "param_groups": groups})


def build_optimizer(
    model: nn.Module, recipe: Recipe, shares: Mapping[str, float] | None = None
) -> Optimizers:
    """Build the recipe's optimiser; weight decay is for kernels and matrices, not for norms and biases.

    Args:
        model: Its parameters that want a gradient are trained.
        recipe: The optimiser and its settings.
        shares: Learning rates of parameters as multiples of the recipe's, by name; of all others 1.

    Raises:
        TrainingError: The network has nothing to train.
    """
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if not named:
        raise TrainingError("the network has no parameter to train")
    members: list[torch.optim.Optimizer] = []
    for share in sorted({(shares or {}).get(name, 1.0) for name in named}, reverse=True):
        trained = [value for name, value in named.items() if (shares or {}).get(name, 1.0) == share]
        for member in _members(trained, recipe):
            for group in member.param_groups if shares else ():
                group["share"] = share * group.get("share", 1.0)
            members.append(member)
    return Optimizers(members)


def _members(trained: list[nn.Parameter], recipe: Recipe) -> list[torch.optim.Optimizer]:
    if recipe.optimizer == "adamw":
        betas = (recipe.momentum, 0.999)
        groups = _groups(trained, recipe.weight_decay)
        recordable = all(each.is_cuda for each in trained)
        return [
            torch.optim.AdamW(
                groups,
                lr=recipe.learning_rate,
                betas=betas,
                fused=_fused(trained),
                capturable=recordable,
            )
        ]
    if recipe.optimizer == "sgd":
        return [_sgd(_groups(trained, recipe.weight_decay), recipe, _fused(trained))]
    dense = [each for each in trained if _is_dense(each)]
    rest = [each for each in trained if not _is_dense(each)]
    members: list[torch.optim.Optimizer] = []
    if dense:
        members.append(Muon(dense, recipe.learning_rate, recipe.momentum, recipe.weight_decay))
    if rest:
        groups = _groups(rest, recipe.weight_decay)
        for group in groups:
            group["share"] = recipe.vector_rate / recipe.learning_rate
        members.append(_sgd(groups, recipe, _fused(rest)))
    return members


def _is_dense(parameter: torch.Tensor) -> bool:
    """Return whether a kernel mixes channels: a matrix or a convolution that is not depthwise."""
    return parameter.ndim > 1 and parameter.shape[1] > 1


def _groups(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": weight_decay},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _sgd(groups: list[dict[str, Any]], recipe: Recipe, fused: bool) -> torch.optim.SGD:
    nesterov = recipe.momentum > 0
    return torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=nesterov, fused=fused
    )


def _fused(parameters: list[nn.Parameter]) -> bool:
    """Return whether one kernel can update them all, instead of several for each small tensor."""
    return all(each.device.type in ("cpu", "cuda") and each.is_floating_point() for each in parameters)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of a step.

    Args:
        recipe: Its highest rate, warm-up and schedule.
        step: Counted from 0 over the whole run.
        steps: Number of steps of the whole run.
    """
    # For example 0.1 over 100 steps with a warm-up of 0.2, one-cycle: 0.004 at step 0, 0.1 at step 20, 0.05
    # at step 60, 0.00125 at step 99.
    warmup = recipe.warmup * steps
    if step < warmup:
        return recipe.learning_rate * (FIRST_RATE + (1 - FIRST_RATE) * step / warmup)
    if recipe.schedule == "step":
        # A share such as 0.3 times the steps may end just above a whole number: 15 epochs are 15 epochs.
        falls = math.floor(step / (recipe.step_every * steps) + 1e-9)
        return recipe.learning_rate * recipe.step_factor**falls
    # The last step is not wasted on a rate of zero: zero would be the step after it.
    left = (steps - step) / max(steps - warmup, 1)
    if recipe.schedule == "cosine":
        return recipe.learning_rate * (1 - math.cos(math.pi * left)) / 2
    return recipe.learning_rate * left
