"""Run: a network in training, one epoch after the other, wherever it began.

Every random draw (shuffle, augmentation, dropout, mixing) is a function of (seed, epoch, step), so a
checkpoint holds no state of generators, wherever in an epoch it is written: weights, optimiser, average, and
how far the run has come are all there is. How the steps are launched is in `training.fit.stepping` and
`training.fit.whole`.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from records.run import EpochRecord
from training.batches.chunks import steps_of
from training.batches.loader import Loader
from training.batches.pool import Pool
from training.batches.resident import Resident
from training.data.samples import Samples
from training.errors import TrainingError
from training.fit import checkpoint as files
from training.fit.course import Course
from training.fit.device import check_size, memory_format, settle
from training.fit.distill import Teacher, check_teacher
from training.fit.ema import Ema, averaged
from training.fit.evaluate import Evaluation, evaluate
from training.fit.graphs import record_on_cuda
from training.fit.identity import identity_of, same_run
from training.fit.memory import enough_for
from training.fit.optim import build_optimizer
from training.fit.progress import Keeper, Progress
from training.fit.recipe import Recipe
from training.fit.saved import Saved
from training.fit.step import Step
from training.fit.stepping import Batches, Partial, Stepping, Stepwise
from training.fit.whole import Whole


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
        shares: Mapping[str, float] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self.epochs: list[EpochRecord] = []
        self.losses: list[torch.Tensor] = []
        """Of every step, epoch by epoch, on the CPU."""
        self.notice: str | None = None
        self.judged: Evaluation | None = None
        """The answers of the averaged weights to the validation images after the latest epoch."""
        self._model, self._train, self._seed, self._device = model.to(device), train, seed, device
        self._identity = identity_of(model, train, seed, teacher)
        self._partial: Partial | None = None
        self._began, self._rate = 0.0, 0.0
        saved: Saved | None = None
        if resumed is not None and files.exists(resumed):
            state, self.notice = files.load(resumed)
            saved = Saved.checked(state, resumed)
            same_run(saved.identity, saved.recipe, self._identity, recipe, resumed)
            recipe = saved.recipe
        check_teacher(recipe, teacher)
        self._steps = steps_of(len(train), recipe.batch_size)
        self.length = self._steps * recipe.epochs
        """Steps of the whole run."""
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
            saved.check_network(model, self.recipe, self._steps, shares)
        model.to(memory_format=memory_format(self.recipe.layout))
        self._optimizer = build_optimizer(model, self.recipe, shares)
        # In steps: the recipe gives a share, so that a shorter run has a shorter memory.
        horizon = self.recipe.ema * self._steps * self.recipe.epochs
        self._ema = Ema(model, horizon) if self.recipe.ema else None
        # What `state` looks at: not masks of -inf, nor counters.
        self._finite = list(averaged(model).values())
        teaching = None
        if teacher is not None:
            teaching = Teacher(teacher, len(train.classes), device, self.recipe.precision)
        self._course = Course(self.recipe, seed, self._steps, train.image_size)
        if (size := self._course.size(1)) != train.image_size:
            check_size(model, size, device)
        parts = (self._optimizer, self._ema, device, teaching)
        self._stepping: Stepping
        if self.recipe.compile == "graphs":
            self._stepping = Whole(
                model, train, self._course, *parts, capture=record_on_cuda, on_notice=on_notice
            )
        else:
            self._stepping = Stepwise(Step(model, train, self.recipe, *parts), self._course, device)
        if saved is not None:
            self._restore(saved)

    def loader(self, workers: int | None) -> AbstractContextManager[Batches]:
        """Return what brings the batches from here on."""
        if self.recipe.compile == "graphs" and self.recipe.augment == "gpu":
            return nullcontext(self.pool())
        settings: dict[str, Any] = {
            "policy": self.recipe.policy,
            "batch_size": self.recipe.batch_size,
            "balanced": self.recipe.balance == "sample",
            "seed": self._seed,
            "first_epoch": len(self.epochs) + 1,
            "first_step": self._partial.step if self._partial else 0,
            "last_epoch": self.recipe.epochs,
        }
        if self.recipe.augment == "gpu":
            return nullcontext(Resident(self._train, device=self._device, **settings))
        workers = _default_workers(self._device) if workers is None else workers
        return Loader(self._train, workers=workers, **settings)

    def pool(self) -> Pool:
        """Return an epoch's images at once; runs of equal images, policy, batch and seed may share them."""
        recipe = self.recipe
        return Pool(
            self._train,
            policy=recipe.policy,
            batch_size=recipe.batch_size,
            balanced=recipe.balance == "sample",
            seed=self._seed,
            device=self._device,
        )

    def epoch(
        self,
        loader: Batches,
        validation: Samples | None,
        progress: Callable[[Progress], None] | None,
        keeper: Keeper,
        on_losses: Callable[[int, npt.NDArray[np.float32]], None] | None = None,
    ) -> EpochRecord | None:
        """Train one epoch to its end, judge it, add and return its record; None: a stop was requested."""
        for _ in self.steps(loader, progress, on_losses):
            partial = self._partial
            if partial is not None and partial.step < self._steps:
                if keeper.stop_requested():
                    self._check()
                    return None
                if keeper.due():
                    self._check()
                    keeper.save(self)
        return self.close_epoch(validation)

    def steps(
        self,
        loader: Batches,
        progress: Callable[[Progress], None] | None = None,
        on_losses: Callable[[int, npt.NDArray[np.float32]], None] | None = None,
    ) -> Iterator[None]:
        """Make the steps that are left of the present epoch, or of the next one; yield after each.

        Raises:
            TrainingError: The loss is not finite, or the memory of the device does not suffice.
        """
        number = len(self.epochs) + 1
        if self._partial is None:
            losses = torch.zeros(self._steps, device=self._device)
            right = torch.zeros((), dtype=torch.int64, device=self._device)
            self._partial = Partial(0, losses, right, 0.0)
        partial, first = self._partial, self._partial.step
        self._began = time.perf_counter()
        self._model.train()
        for rate in self._stepping.steps(loader, number, partial):
            self._rate = rate
            if partial.step == self._steps or self._stepping.time_to_look(partial.step):
                loss = self._check()
                if on_losses is not None:
                    on_losses(number, partial.losses[: partial.step].cpu().numpy())
                if progress is not None:
                    speed = (partial.step - first) * self.recipe.batch_size / self._elapsed()
                    progress(self._progress(number, loss, speed))
            yield

    def close_epoch(self, validation: Samples | None) -> EpochRecord:
        """Judge the epoch whose steps are made, add and return its record."""
        partial = self._partial
        assert partial is not None
        self.judged = None if validation is None else self._judge(validation)
        record = EpochRecord(
            epoch=len(self.epochs) + 1,
            train_loss=_mean(partial.losses),
            train_accuracy=int(partial.right) / (self._steps * self.recipe.batch_size),
            val_loss=self.judged.loss if self.judged else None,
            val_accuracy=self.judged.accuracy if self.judged else None,
            learning_rate=self._rate,
            seconds=partial.seconds + self._elapsed(),
        )
        self.epochs.append(record)
        self.losses.append(partial.losses.cpu().clone())  # of a recording it is filled again
        self._partial = None
        return record

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began

    def _progress(self, epoch: int, loss: float, speed: float) -> Progress:
        assert self._partial is not None
        step = self._partial.step
        accuracy = int(self._partial.right) / (step * self.recipe.batch_size)
        return Progress(epoch, self.recipe.epochs, step, self._steps, loss, accuracy, speed)

    def _check(self) -> float:
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
            f"the loss became {float(losses[step - 1])} in epoch {len(self.epochs) + 1}, "
            f"step {step} of {self._steps}; {self._calmer()}"
        )

    def _calmer(self) -> str:
        return f"try a learning_rate below {self.recipe.learning_rate:g}, a longer warmup, clip=1, or float32"

    def _judge(self, samples: Samples) -> Evaluation:
        with ExitStack() as stack:
            if self._ema is not None:
                stack.enter_context(self._ema.applied())
            size = 500 if self._device.type == "cpu" else 2_500
            return evaluate(self._model, samples, device=str(self._device), batch_size=size)

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
            "losses": torch.cat(self.losses) if self.losses else torch.zeros(0),
            "partial": partial and partial.to_json(partial.seconds + self._elapsed()),
        }

    def _restore(self, saved: Saved) -> None:
        self._model.load_state_dict(saved.weights)
        self._optimizer.load_state_dict(saved.optimizer)
        if self._ema is not None and saved.ema is not None:
            self._ema.load_state_dict(saved.ema)
        self.epochs, self.losses = list(saved.epochs), [saved.losses]
        if (partial := saved.partial) is not None:
            right = torch.tensor(partial.right, device=self._device)
            losses = partial.losses.to(self._device)
            self._partial = Partial(partial.step, losses, right, partial.seconds)


def _mean(losses: torch.Tensor) -> float:
    return float(losses.cpu().double().mean())  # on the CPU, since Apple's devices have no float64


def _default_workers(device: torch.device) -> int:
    return 0 if device.type == "cpu" else min(4, os.cpu_count() or 1)
