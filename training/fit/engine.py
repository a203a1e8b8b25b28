"""Run: a network in training, one epoch after the other, wherever it began.

Every random draw (shuffle, augmentation, dropout, mixing) is a function of (seed, epoch, step), so a
checkpoint holds no state of generators, wherever in an epoch it is written: weights, optimiser, average, and
how far the run has come are all there is.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from records.run import EpochRecord
from training.batches.chunks import steps_of
from training.batches.loader import Loader
from training.batches.mixing import draw_mix
from training.batches.resident import Resident
from training.data.samples import Samples
from training.errors import TrainingError
from training.fit import checkpoint as files
from training.fit.device import memory_format, settle
from training.fit.distill import Teacher, check_teacher
from training.fit.evaluate import Evaluation, evaluate
from training.fit.identity import identity_of, same_run
from training.fit.memory import enough_for, made_within
from training.fit.optim import Ema, averaged, build_optimizer, learning_rate
from training.fit.progress import Keeper, Progress
from training.fit.recipe import Recipe
from training.fit.saved import Saved
from training.fit.step import Step

_CHECK_EVERY_ON_CPU, _CHECK_EVERY = 8, 32
"""Steps between looks at the loss, which are cheap on a CPU; elsewhere each one waits for the device."""
_TORCH, _MIX = 2, 3
"""First element of the keys of random streams, beside those of `training.batches.chunks`."""


@dataclass
class _Partial:
    """An epoch under way."""

    step: int
    """Steps done."""
    losses: torch.Tensor
    """(steps,) loss of each step, on the device; 0 for the steps to come."""
    right: torch.Tensor
    seconds: float
    """Seconds spent on it before this process."""

    def to_json(self, seconds: float) -> dict[str, Any]:
        """Return plain values and tensors for a checkpoint."""
        return {"step": self.step, "losses": self.losses.cpu(), "right": int(self.right), "seconds": seconds}


class Run:
    """A network in training."""

    def __init__(
        self,
        model: nn.Module,
        train: Samples,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        deterministic: bool,
        resumed: Path | None,
        teacher: nn.Module | None,
    ) -> None:
        self.epochs: list[EpochRecord] = []
        self.notice: str | None = None
        self.judged: Evaluation | None = None
        """The answers of the averaged weights to the validation images after the latest epoch."""
        self._model, self._train, self._seed, self._device = model.to(device), train, seed, device
        self._identity = identity_of(model, train, seed, teacher)
        self._partial: _Partial | None = None
        self._began = 0.0
        saved: Saved | None = None
        if resumed is not None and files.exists(resumed):
            state, self.notice = files.load(resumed)
            saved = Saved.checked(state, resumed)
            same_run(saved.identity, saved.recipe, self._identity, recipe, resumed)
            recipe = saved.recipe
        check_teacher(recipe, teacher)
        self._steps = steps_of(len(train), recipe.batch_size)
        with enough_for(device, recipe.batch_size):
            self.recipe = settle(
                recipe,
                model,
                train.image_size,
                device,
                deterministic=deterministic,
                data_bytes=train.images.nbytes,
            )
        # Before anything of the model is changed: a checkpoint that is refused leaves it as it was.
        if saved is not None:
            saved.check_network(model, self.recipe, self._steps)
        model.to(memory_format=memory_format(self.recipe.layout))
        self._optimizer = build_optimizer(model, self.recipe)
        # In steps: the recipe gives a share, so that a shorter run has a shorter memory.
        horizon = self.recipe.ema * self._steps * self.recipe.epochs
        self._ema = Ema(model, horizon) if self.recipe.ema else None
        # What `state` looks at: not masks of -inf, nor counters.
        self._finite = list(averaged(model).values())
        teaching = None
        if teacher is not None:
            teaching = Teacher(teacher, len(train.classes), device, self.recipe.precision)
        self._step = Step(model, train, self.recipe, self._optimizer, self._ema, device, teaching)
        if saved is not None:
            self._restore(saved)

    def loader(self, workers: int | None) -> AbstractContextManager[Loader | Resident]:
        """Return what brings the batches from here on."""
        settings: dict[str, Any] = {
            "policy": self.recipe.policy,
            "batch_size": self.recipe.batch_size,
            "seed": self._seed,
            "first_epoch": len(self.epochs) + 1,
            "first_step": self._partial.step if self._partial else 0,
            "last_epoch": self.recipe.epochs,
        }
        if self.recipe.augment == "gpu":
            return nullcontext(Resident(self._train, device=self._device, **settings))
        workers = _default_workers(self._device) if workers is None else workers
        return Loader(self._train, workers=workers, **settings)

    def epoch(
        self,
        loader: Loader | Resident,
        validation: Samples | None,
        progress: Callable[[Progress], None] | None,
        keeper: Keeper,
    ) -> EpochRecord | None:
        """Train one epoch to its end, judge it, add and return its record; None: a stop was requested."""
        number = len(self.epochs) + 1
        if self._partial is None:
            losses = torch.zeros(self._steps, device=self._device)
            right = torch.zeros((), dtype=torch.int64, device=self._device)
            self._partial = _Partial(0, losses, right, 0.0)
        partial, first = self._partial, self._partial.step
        self._began = time.perf_counter()
        self._model.train()
        every = _CHECK_EVERY_ON_CPU if self._device.type == "cpu" else _CHECK_EVERY
        rate = 0.0
        for batch in made_within(loader.epoch(), self._device, self.recipe.batch_size):
            done = (number - 1) * self._steps + partial.step
            rate = learning_rate(self.recipe, done, self._steps * self.recipe.epochs)
            # For dropout: the step's own stream, so that a resumed run draws what the unbroken one did.
            torch.manual_seed(_draw(_TORCH, self._seed, number, partial.step))
            mixing = np.random.Generator(np.random.PCG64([_MIX, self._seed, number, partial.step]))
            mix = draw_mix(
                self.recipe, done / (self._steps * self.recipe.epochs), self._train.image_size, mixing
            )
            with enough_for(self._device, len(batch.labels)):
                partial.losses[partial.step], hits = self._step(batch, rate, mix)
            partial.right += hits
            partial.step += 1
            if partial.step == self._steps or partial.step % every == 0:
                loss = self._check(number)
                if progress is not None:
                    speed = (partial.step - first) * self.recipe.batch_size / self._elapsed()
                    progress(self._progress(number, loss, speed))
            if partial.step < self._steps:
                if keeper.stop_requested():
                    self._check(number)
                    return None
                if keeper.due():
                    self._check(number)
                    keeper.save(self)
        judged = None if validation is None else self._judge(validation)
        record = EpochRecord(
            epoch=number,
            train_loss=_mean(partial.losses),
            train_accuracy=int(partial.right) / (self._steps * self.recipe.batch_size),
            val_loss=judged[0] if judged else None,
            val_accuracy=judged[1] if judged else None,
            learning_rate=rate,
            seconds=partial.seconds + self._elapsed(),
        )
        self.epochs.append(record)
        self._partial = None
        return record

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began

    def _progress(self, epoch: int, loss: float, speed: float) -> Progress:
        assert self._partial is not None
        step = self._partial.step
        accuracy = int(self._partial.right) / (step * self.recipe.batch_size)
        return Progress(epoch, self.recipe.epochs, step, self._steps, loss, accuracy, speed)

    def _check(self, epoch: int) -> float:
        """Return the mean loss of the epoch so far.

        Raises:
            TrainingError: A loss is not finite.
        """
        assert self._partial is not None
        losses = self._partial.losses[: self._partial.step]
        mean = _mean(losses)
        if math.isfinite(mean):
            return mean
        step = int((~losses.isfinite()).nonzero()[0]) + 1
        raise TrainingError(
            f"the loss became {float(losses[step - 1])} in epoch {epoch}, step {step} of {self._steps}; "
            + self._calmer()
        )

    def _calmer(self) -> str:
        return f"try a learning_rate below {self.recipe.learning_rate:g}, a longer warmup, clip=1, or float32"

    def _judge(self, samples: Samples) -> tuple[float, float]:
        with ExitStack() as stack:
            if self._ema is not None:
                stack.enter_context(self._ema.applied())
            result = self.judged = evaluate(self._model, samples, device=str(self._device))
        return result.loss, result.accuracy

    def finish(self) -> None:
        """Leave the averages in the network."""
        if self._ema is not None and self.epochs:
            self._ema.store()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds.

        Raises:
            TrainingError: The weights are not finite: a checkpoint of them would be of no use to anybody.
        """
        if not bool(nn.utils.get_total_norm(self._finite).isfinite()):
            epoch = len(self.epochs) + (self._partial is not None)
            raise TrainingError(f"the weights became infinite or NaN by epoch {epoch}; {self._calmer()}")
        partial = self._partial
        return {
            "identity": self._identity,
            "recipe": self.recipe.to_json(),
            "state_dict": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "ema": None if self._ema is None else self._ema.state_dict(),
            "epochs": [dataclasses.asdict(record) for record in self.epochs],
            "partial": partial and partial.to_json(partial.seconds + self._elapsed()),
        }

    def _restore(self, saved: Saved) -> None:
        self._model.load_state_dict(saved.weights)
        self._optimizer.load_state_dict(saved.optimizer)
        if self._ema is not None and saved.ema is not None:
            self._ema.load_state_dict(saved.ema)
        self.epochs = list(saved.epochs)
        if (partial := saved.partial) is not None:
            right = torch.tensor(partial.right, device=self._device)
            losses = partial.losses.to(self._device)
            self._partial = _Partial(partial.step, losses, right, partial.seconds)


def _mean(losses: torch.Tensor) -> float:
    return float(losses.cpu().double().mean())  # on the CPU, since Apple's devices have no float64


def _default_workers(device: torch.device) -> int:
    return 0 if device.type == "cpu" else min(4, os.cpu_count() or 1)


def _draw(*key: int) -> int:
    """Return 64 bits that are a function of `key` alone."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
