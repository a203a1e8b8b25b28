"""fit: train a network by a recipe, epoch by epoch, so that it can be watched, stopped and gone on with.

Every random draw of an epoch (shuffle, augmentation, dropout, mixup) is a function of (seed, epoch), so a
checkpoint at an epoch's end holds no state of generators: weights, optimiser, average and the number of the
epoch are all there is.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from records.run import EpochRecord
from training import checkpoint as files
from training.device import (
    Normalise,
    autocast,
    float32_where_bfloat16_is_slow,
    memory_format,
    resolve,
    settle,
)
from training.errors import TrainingError
from training.evaluate import evaluate, logits_of
from training.identity import identity_of, same_run
from training.loader import Batch, Loader
from training.optim import Ema, build_optimizer, learning_rate
from training.recipe import Recipe
from training.samples import Samples

_CHECK_EVERY = 8
"""Steps between looks at the loss: on a GPU each look waits for the device."""
_TORCH, _MIXUP = 2, 3
"""First element of the keys of random streams, beside those of `training.loader`."""


@dataclass(frozen=True)
class Progress:
    """Where a run is, several times a second."""

    epoch: int
    epochs: int
    step: int
    """Done in this epoch."""
    steps: int
    """Of this epoch."""
    loss: float
    """Mean of the epoch so far."""
    accuracy: float
    """On augmented images, of the epoch so far; 0-1."""
    images_per_second: float


@dataclass(frozen=True)
class History:
    """What came of a run."""

    epochs: tuple[EpochRecord, ...]
    stopped: bool
    """True when `on_epoch` ended it early."""
    recipe: Recipe
    """As it was followed, "auto" replaced by what was chosen."""
    notice: str | None = None
    """What the user should know of how the run was resumed."""


OnEpoch = Callable[[EpochRecord], bool | None]


def fit(
    model: nn.Module,
    train: Samples,
    validation: Samples | None,
    recipe: Recipe,
    *,
    seed: int,
    device: str = "cpu",
    on_epoch: OnEpoch | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    workers: int | None = None,
    deterministic: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> History:
    """Train `model` in place; on return it holds the averaged (EMA) weights, buffers included.

    Args:
        model: Takes (B, 3, H, W) float32, returns (B, classes) logits. Its present weights are the start.
        train: What to learn from.
        validation: What each epoch is judged on, with the averaged weights; None: nothing is judged.
        recipe: How to train.
        seed: Of shuffling, augmentation, dropout and mixup; the weights' start is the caller's.
        device: "cpu", "cuda", "mps" or "auto".
        on_epoch: Called after each epoch; returning False ends the run.
        checkpoint: Written at each epoch's end.
        resume: Go on from `checkpoint` where there is one.
        workers: Threads that augment ahead of the training; the result does not depend on it. None: as
            many as pay, which is none on a CPU: augmentation takes a twentieth of a step there, and the cores
            are busy.
        deterministic: The same bits at every run with this number of threads on this machine.
        progress: Called every few steps.

    Raises:
        TrainingError: The loss is not finite, the memory of the device does not suffice, or data, network,
            recipe and checkpoint do not fit together; the text says what to try. The last good checkpoint
            stays.
        OSError: A checkpoint cannot be written; the one before stays.
    """
    place = resolve(device)
    if validation is not None and validation.classes != train.classes:
        raise TrainingError("the training and the validation images have different classes")
    with ExitStack() as stack:
        stack.enter_context(_determinism(deterministic, place))
        stack.enter_context(torch.random.fork_rng(devices=[place] if place.type == "cuda" else []))
        run = _Run(model, train, recipe, seed, place, deterministic, checkpoint if resume else None)
        stack.enter_context(float32_where_bfloat16_is_slow(model, place, run.recipe.precision))
        loader = stack.enter_context(
            Loader(
                train,
                policy=recipe.policy,
                batch_size=recipe.batch_size,
                seed=seed,
                workers=_default_workers(place) if workers is None else workers,
                first_epoch=len(run.epochs) + 1,
                last_epoch=recipe.epochs,
            )
        )
        stopped = False
        while len(run.epochs) < recipe.epochs and not stopped:
            record = run.epoch(loader, validation, progress)
            if checkpoint is not None:
                files.save(checkpoint, run.state())
            stopped = on_epoch is not None and on_epoch(record) is False
    run.finish()
    return History(tuple(run.epochs), stopped, run.recipe, run.notice)


class _Run:
    """A network in training, between two epochs."""

    def __init__(
        self,
        model: nn.Module,
        train: Samples,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        deterministic: bool,
        resumed: Path | None,
    ) -> None:
        self.epochs: list[EpochRecord] = []
        self.notice: str | None = None
        self._model, self._train, self._seed, self._device = model.to(device), train, seed, device
        self._steps = len(train) // recipe.batch_size
        self._identity = identity_of(model, train, seed)
        saved = None
        if resumed is not None and files.exists(resumed):
            saved, self.notice = files.load(resumed)
            recipe = same_run(saved, self._identity, recipe, resumed)
        self.recipe = settle(recipe, model, train.image_size, device, deterministic=deterministic)
        self._format = memory_format(self.recipe.layout)
        model.to(memory_format=self._format)
        self._normalise = Normalise(train.mean, train.std, device)
        self._optimizer = build_optimizer(model, self.recipe)
        horizon = self.recipe.ema * self._steps * self.recipe.epochs
        self._ema = Ema(model, horizon) if self.recipe.ema else None
        if saved is not None:
            self._restore(saved)

    def epoch(
        self, loader: Loader, validation: Samples | None, progress: Callable[[Progress], None] | None
    ) -> EpochRecord:
        """Train one epoch, judge it, and add its record."""
        number = len(self.epochs) + 1
        began = time.perf_counter()
        losses = torch.zeros(self._steps, device=self._device)
        right = torch.zeros((), dtype=torch.int64, device=self._device)
        torch.manual_seed(_draw(_TORCH, self._seed, number))
        mixing = np.random.Generator(np.random.PCG64([_MIXUP, self._seed, number]))
        self._model.train()
        rate = 0.0
        for step, batch in enumerate(loader.epoch()):
            done = (number - 1) * self._steps + step
            rate = learning_rate(self.recipe, done, self._steps * self.recipe.epochs)
            share = self._mixed_share(done) * mixing.random()
            try:
                losses[step], hits = self._train_step(batch, rate, share)
            except torch.OutOfMemoryError as error:
                raise TrainingError(
                    f"{self._device} ran out of memory with batches of {len(batch.labels)}; "
                    f"try batch_size {max(2, len(batch.labels) // 2)}"
                ) from error
            right += hits
            if (step + 1) % _CHECK_EVERY == 0 or step + 1 == self._steps:
                loss = self._check(losses[: step + 1], number)
                if progress is not None:
                    seen = (step + 1) * self.recipe.batch_size
                    speed = seen / (time.perf_counter() - began)
                    progress(
                        Progress(
                            number, self.recipe.epochs, step + 1, self._steps, loss, int(right) / seen, speed
                        )
                    )
        judged = None if validation is None else self._judge(validation)
        record = EpochRecord(
            epoch=number,
            train_loss=float(losses.double().mean().cpu()),
            train_accuracy=int(right) / (self._steps * self.recipe.batch_size),
            val_loss=judged[0] if judged else None,
            val_accuracy=judged[1] if judged else None,
            learning_rate=rate,
            seconds=time.perf_counter() - began,
        )
        self.epochs.append(record)
        return record

    def _train_step(self, batch: Batch, rate: float, share: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss and how many answers were right, both left on the device."""
        images = self._normalise(batch.images, self._format)  # (B, 3, H, W)
        labels = batch.labels.to(self._device, non_blocking=True)  # (B,)
        if share:
            # The batch is shuffled already: its mirror order pairs images at random.
            images = images.lerp(images.flip(0), share)
        with autocast(self._device, self.recipe.precision):
            logits = logits_of(self._model, images, len(self._train.classes))
        smoothing = self.recipe.label_smoothing
        loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        if share:
            other = F.cross_entropy(logits, labels.flip(0), label_smoothing=smoothing)
            loss = loss.lerp(other, share)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip:
            nn.utils.clip_grad_norm_(self._model.parameters(), self.recipe.clip)
        self._optimizer.step(rate)
        if self._ema is not None:
            self._ema.update()
        return loss.detach(), (logits.argmax(1) == labels).sum()

    def _mixed_share(self, step: int) -> float:
        """Return the largest share of a second image at this step: a ramp, after Tiniest."""
        return self.recipe.mixup * step / (self._steps * self.recipe.epochs)

    def _check(self, losses: torch.Tensor, epoch: int) -> float:
        """Return the mean loss so far.

        Raises:
            TrainingError: A loss is not finite.
        """
        mean = float(losses.double().mean().cpu())
        if math.isfinite(mean):
            return mean
        step = int((~losses.isfinite()).nonzero()[0]) + 1
        raise TrainingError(
            f"the loss became {float(losses[step - 1])} in epoch {epoch}, step {step} of {self._steps}; "
            f"try a learning_rate below {self.recipe.learning_rate:g}, a longer warmup, clip=1, or float32"
        )

    def _judge(self, samples: Samples) -> tuple[float, float]:
        with ExitStack() as stack:
            if self._ema is not None:
                stack.enter_context(self._ema.applied())
            result = evaluate(self._model, samples, device=str(self._device))
        return result.loss, result.accuracy

    def finish(self) -> None:
        """Leave the averages in the network."""
        if self._ema is not None and self.epochs:
            self._ema.store()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {
            "identity": self._identity,
            "recipe": self.recipe.to_json(),
            "state_dict": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "ema": None if self._ema is None else self._ema.state_dict(),
            "epochs": [dataclasses.asdict(record) for record in self.epochs],
        }

    def _restore(self, saved: dict[str, Any]) -> None:
        self._model.load_state_dict(saved["state_dict"])
        self._optimizer.load_state_dict(saved["optimizer"])
        if self._ema is not None:
            self._ema.load_state_dict(saved["ema"])
        self.epochs = [EpochRecord(**record) for record in saved["epochs"]]


def _default_workers(device: torch.device) -> int:
    return 0 if device.type == "cpu" else min(4, os.cpu_count() or 1)


def _draw(*key: int) -> int:
    """Return 64 bits that are a function of `key` alone."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


@contextmanager
def _determinism(wanted: bool, device: torch.device) -> Iterator[None]:
    """Choose exact or fast kernels, and leave the process's settings as they were."""
    before = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    if wanted and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(wanted)
    torch.backends.cudnn.benchmark = not wanted and device.type == "cuda"
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark
