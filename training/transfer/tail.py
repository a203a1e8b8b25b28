"""Tail: the trainable end of a network, trained on what the frozen stages before it return.

The frozen stages see each photograph once; what they return is kept. An epoch of a linear head on 2,000
photographs then takes milliseconds, where an epoch through the backbone takes a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from records.run import EpochRecord
from training.data.balance import balanced_order
from training.errors import TrainingError
from training.fit.loss import cross_entropy, weights_of
from training.fit.optim import Optimizers, learning_rate
from training.fit.recipe import Recipe
from training.transfer.calibration import cross_fitted
from training.transfer.stages import BACKBONE_SHARE, Snapshot, Stage, run, unfreeze

_ORDER, _TORCH = 11, 12
"""First words of the random keys of this file."""


@dataclass(frozen=True, eq=False)
class Maps:
    """What the frozen stages return for N photographs."""

    plain: npt.NDArray[np.floating]
    """(N, ...)"""
    labels: npt.NDArray[np.int64]
    """(N,)"""
    mirrored: npt.NDArray[np.floating] | None = None
    """Likewise, of the mirrored photographs; each epoch takes one or the other of each."""

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, positions: npt.NDArray[np.int64]) -> Maps:
        """Return the maps at `positions` alone."""
        mirrored = None if self.mirrored is None else self.mirrored[positions]
        return Maps(self.plain[positions], self.labels[positions], mirrored)

    def batch(
        self, positions: npt.NDArray[np.int64], flipped: npt.NDArray[np.bool_] | None = None
    ) -> torch.Tensor:
        """Return the maps at `positions` in float32, mirrored where `flipped` says so."""
        chosen = np.array(self.plain[positions], dtype=np.float32)
        if flipped is not None and self.mirrored is not None and flipped.any():
            chosen[flipped] = self.mirrored[positions[flipped]]
        return torch.from_numpy(chosen)


@dataclass(frozen=True)
class Unfreezing:
    """Which stages begin to train when."""

    stages: int
    """How many of the frozen stages, from the last."""
    epoch: int
    """Counted from 1: the first epoch in which they train."""


@dataclass
class Trained:
    """What a training of the tail leaves beside the weights."""

    epochs: list[EpochRecord] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """Of every step."""
    stopped: bool = False


def fit_tail(
    stages: Sequence[Stage],
    maps: Maps,
    recipe: Recipe,
    *,
    seed: int,
    trained: int = 0,
    unfreezing: Unfreezing | None = None,
    judge: Callable[[], tuple[float, float]] | None = None,
    on_step: Callable[[int, int, float], None] | None = None,
    on_epoch: Callable[[EpochRecord], bool | None] | None = None,
) -> Trained:
    """Train the last stages of a network on the maps before them.

    Args:
        stages: From the first that is not in the maps to the head, on one device.
        maps: Of the training photographs.
        recipe: Epochs, batch size, AdamW's rate and decay; the highest rate is the head's.
        seed: Of the order, the mirroring and dropout; equal seeds give equal weights.
        trained: How many stages before the head train from the first epoch on; the others are frozen.
        unfreezing: Which of the frozen ones join, and when.
        judge: Returns loss and accuracy on validation photographs after an epoch.
        on_step: Called with epoch, step (both from 1) and loss.
        on_epoch: Called after each epoch; returning False ends the training.

    Raises:
        TrainingError: There are fewer photographs than a batch holds, or the loss is not finite.
    """
    with _few_threads(maps):
        return _fit(stages, maps, recipe, seed, trained, unfreezing, judge, on_step, on_epoch)


@contextmanager
def _few_threads(maps: Maps) -> Iterator[None]:
    """Compute in one thread where a step is a small matrix product.

    Threads cost more than they bring there: they wait for each other by spinning, and on busy cores an epoch
    of a fifth of a second became one of minutes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if maps.plain.ndim == 2 else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _fit(
    stages: Sequence[Stage],
    maps: Maps,
    recipe: Recipe,
    seed: int,
    trained: int,
    unfreezing: Unfreezing | None,
    judge: Callable[[], tuple[float, float]] | None,
    on_step: Callable[[int, int, float], None] | None,
    on_epoch: Callable[[EpochRecord], bool | None] | None,
) -> Trained:
    size = min(recipe.batch_size, len(maps))
    if size < 2:
        raise TrainingError(f"{len(maps)} training image: a head needs two or more")
    device = next(iter(stages[-1].parameters())).device
    steps = len(maps) // size
    result = Trained()
    body = stages[:-1]
    first = len(body) - trained
    joining = () if unfreezing is None else tuple(body[first - unfreezing.stages : first])
    for stage in joining:  # after an earlier training they would train from the start
        for parameter in stage.parameters():
            parameter.requires_grad_(False)
    adam = _optimizer(stages[-1], body[first:], recipe)
    optimizer = Optimizers([adam])
    labels = torch.from_numpy(maps.labels).to(device)
    last = [each for each in stages[-1].modules[0].modules() if isinstance(each, nn.Linear)][-1]
    weights = weights_of(recipe, maps.labels, last.out_features, device)
    stages[-1].modules[0].train()
    for epoch in range(1, recipe.epochs + 1):
        if unfreezing is not None and epoch == unfreezing.epoch:
            for stage in joining:
                unfreeze(stage)
                for group in _groups(stage.parameters(), recipe, share=BACKBONE_SHARE):
                    adam.add_param_group(group)
        began = time.perf_counter()
        random = np.random.Generator(np.random.PCG64([_ORDER, seed, epoch]))
        balanced = recipe.balance == "sample"
        order = balanced_order(maps.labels, random) if balanced else random.permutation(len(maps))
        flips = random.random(len(maps)) < 0.5
        losses, right, rate = [], 0, 0.0
        for step in range(steps):
            done = (epoch - 1) * steps + step
            rate = learning_rate(recipe, done, steps * recipe.epochs)
            positions = order[step * size : (step + 1) * size]
            torch.manual_seed(int(np.random.SeedSequence([_TORCH, seed, done]).generate_state(1)[0]))
            x = maps.batch(positions, flips[step * size : (step + 1) * size]).to(device)
            wanted = labels[torch.from_numpy(positions).to(device)]
            logits = run(stages, x)
            loss = cross_entropy(logits, wanted, recipe.label_smoothing, weights)
            value = float(loss.detach())
            if not np.isfinite(value):
                raise TrainingError(
                    f"the loss became {value} in epoch {epoch}, step {step + 1} of {steps}; "
                    f"try a learning_rate below {recipe.learning_rate:g}"
                )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step(rate)
            losses.append(value)
            right += int((logits.argmax(1) == wanted).sum())
            if on_step is not None:
                on_step(epoch, step + 1, value)
        judged = None if judge is None else judge()
        record = EpochRecord(
            epoch=epoch,
            train_loss=float(np.mean(losses)),
            train_accuracy=right / (steps * size),
            val_loss=judged[0] if judged else None,
            val_accuracy=judged[1] if judged else None,
            learning_rate=rate,
            seconds=time.perf_counter() - began,
        )
        result.losses.extend(losses)
        result.epochs.append(record)
        if on_epoch is not None and on_epoch(record) is False:
            result.stopped = True
            break
    stages[-1].modules[0].eval()
    return result


def answers(stages: Sequence[Stage], maps: Maps, *, batch_size: int = 256) -> npt.NDArray[np.float64]:
    """Return the (N, C) logits of the tail for the maps, in eval mode."""
    head: nn.Module = stages[-1].modules[0]
    device = next(iter(stages[-1].parameters())).device
    training = head.training
    head.eval()
    rows = []
    with torch.inference_mode():
        for start in range(0, len(maps), batch_size):
            positions = np.arange(start, min(start + batch_size, len(maps)))
            rows.append(run(stages, maps.batch(positions).to(device)).double().cpu().numpy())
    head.train(training)
    return np.concatenate(rows)


def held_out_answers(
    stages: Sequence[Stage],
    maps: Maps,
    recipe: Recipe,
    *,
    seed: int,
    start: Snapshot,
    folds: int,
    trained: int = 0,
    unfreezing: Unfreezing | None = None,
) -> npt.NDArray[np.float64]:
    """Return (N, C) logits of the training photographs, each by a tail that did not learn from it.

    The tail is trained `folds` times from its start, each time without one part of the photographs, and is
    left as it was.

    Args:
        stages: As of `fit_tail`.
        maps: Of the training photographs.
        recipe: As of `fit_tail`.
        seed: As of `fit_tail`; also of the parts.
        start: The stages before any training.
        folds: How many parts.
        trained: As of `fit_tail`.
        unfreezing: As of `fit_tail`.
    """
    end = Snapshot(stages)

    def fold(rest: npt.NDArray[np.int64], held: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        start.restore()
        fit_tail(stages, maps.chosen(rest), recipe, seed=seed, trained=trained, unfreezing=unfreezing)
        return answers(stages, maps.chosen(held))

    try:
        return cross_fitted(len(maps), seed, fold, folds=folds)
    finally:
        end.restore()


def _optimizer(head: Stage, trained: Sequence[Stage], recipe: Recipe) -> torch.optim.AdamW:
    groups = _groups(head.parameters(), recipe, share=1.0)
    for stage in trained:
        groups += _groups(stage.parameters(), recipe, share=BACKBONE_SHARE)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999))


def _groups(parameters: Iterable[nn.Parameter], recipe: Recipe, share: float) -> list[dict[str, Any]]:
    every = list(parameters)
    groups: list[dict[str, Any]] = [
        {
            "params": [each for each in every if each.ndim > 1],
            "weight_decay": recipe.weight_decay,
            "share": share,
        },
        {"params": [each for each in every if each.ndim <= 1], "weight_decay": 0.0, "share": share},
    ]
    return [group for group in groups if group["params"]]
