"""Moving average of a network in training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from training.errors import TrainingError


def averaged(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the part of a network's state that an average is taken of, by name.

    Counters of batches are no part of it, nor are buffers that are not finite when training begins: masks of
    -inf, whose average would be NaN.
    """
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return {
        name: value
        for name, value in model.state_dict().items()
        if value.is_floating_point() and (name in parameters or bool(value.isfinite().all()))
    }


def kept_by_average(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the part of a network's state that an average keeps a copy of, by name.

    A module whose parameters are all frozen, a pretrained one, is no part of it: an average of what does not
    move would cost a second backbone.
    """
    frozen = {
        name
        for name, module in model.named_modules()
        if (own := list(module.parameters(recurse=False))) and not any(each.requires_grad for each in own)
    }
    state = model.state_dict()
    return {name: value for name, value in state.items() if name.rpartition(".")[0] not in frozen}


class Ema:
    """Exponential moving average of what moves in a network's state: parameters and buffers alike.

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
        # Looked up once: the tensors of a network in training change in place only.
        kept, lerped = kept_by_average(model), averaged(model)
        self._average = {name: value.detach().clone() for name, value in kept.items()}
        self._floating = [(self._average[name], value) for name, value in kept.items() if name in lerped]
        self._copied = [(self._average[name], value) for name, value in kept.items() if name not in lerped]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the network as it is after a step."""
        decay = self._decay_of(self._steps)
        self._steps += 1
        averages, states = zip(*self._floating, strict=True)
        average_all = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average_all(list(averages), list(states), None)  # one kernel for all, not one for each small tensor
        for average, value in self._copied:
            average.copy_(value)

    def _decay_of(self, step: int) -> float:
        # The ramp of TensorFlow's ExponentialMovingAverage (num_updates): a horizon of 50 steps, decay 0.98,
        # is reached at step 440; until then the average looks back over a ninth of the steps so far.
        return min(self._decay, (1 + step) / (10 + step)) if self._decay else 0.0

    def weight(self, ahead: int) -> float:
        """Return the share of the new state in the update that comes `ahead` updates after the next one."""
        return 1 - self._decay_of(self._steps + ahead)

    @torch.no_grad()
    def blend(self, weight: torch.Tensor) -> None:
        """Take in the network as `update` does, by a () weight; `advance` counts the update."""
        averages, states = (list(each) for each in zip(*self._floating, strict=True))
        moves = torch._foreach_sub(states, averages)
        torch._foreach_mul_(moves, weight)
        torch._foreach_add_(averages, moves)
        if self._copied:
            copies, values = (list(each) for each in zip(*self._copied, strict=True))
            torch._foreach_copy_(copies, values)

    def advance(self) -> None:
        """Count an update that was made by `blend`."""
        self._steps += 1

    def tensors(self) -> list[torch.Tensor]:
        """Return the averages."""
        return list(self._average.values())

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Hold the averages in the network for a while, then put the trained state back."""
        state = self._model.state_dict()
        trained = {name: state[name].detach().clone() for name in self._average}
        self.store()
        try:
            yield
        finally:
            self._model.load_state_dict(trained, strict=False)

    def store(self) -> None:
        """Put the averages into the network for good."""
        self._model.load_state_dict(self._average, strict=False)  # the frozen parts are no part of it

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
