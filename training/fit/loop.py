"""fit: train a network by a recipe, so that it can be watched, stopped and gone on with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from records.run import EpochRecord
from training.data.samples import Samples
from training.errors import TrainingError
from training.fit import checkpoint as files
from training.fit.depthwise import faster_depthwise
from training.fit.device import determinism, resolve
from training.fit.engine import Run
from training.fit.evaluate import Evaluation
from training.fit.precision import float32_where_bfloat16_is_unfit
from training.fit.progress import Progress as Progress
from training.fit.recipe import Recipe


@dataclass(frozen=True)
class History:
    """The result of a run."""

    epochs: tuple[EpochRecord, ...]
    stopped: bool
    """True when `on_epoch` or `stop` ended it early."""
    recipe: Recipe
    """The recipe that was followed, "auto" replaced by what was chosen."""
    losses: npt.NDArray[np.float32]
    """Of every step; those of epochs before a checkpoint of an earlier version are missing."""
    judged: Evaluation | None = None
    """The answers to the validation images after the last epoch; None where this call trained none."""


OnEpoch = Callable[[EpochRecord], bool | None]


def fit(
    model: nn.Module,
    train: Samples,
    validation: Samples | None,
    recipe: Recipe,
    *,
    seed: int,
    device: str = "cpu",
    teacher: nn.Module | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoint: Path | None = None,
    save_every: float = 300.0,
    resume: bool = False,
    stop: Callable[[], bool] | None = None,
    workers: int | None = None,
    deterministic: bool = False,
    progress: Callable[[Progress], None] | None = None,
    shares: Mapping[str, float] | None = None,
    on_losses: Callable[[int, npt.NDArray[np.float32]], None] | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> History:
    """Train `model` in place; on return it holds the averaged (EMA) weights, buffers included.

    Args:
        model: Network from (B, 3, H, W) float32 to (B, classes) logits. Its present weights are the start.
        train: Training images.
        validation: Images that each epoch is judged on, with the averaged weights; None: no judgement.
        recipe: Optimiser, schedule, augmentation and precision.
        seed: Seed of shuffling, augmentation, dropout and mixup; the first weights are the caller's.
        device: "cpu", "cuda", "mps" or "auto".
        teacher: Network whose answers are learned beside the labels, where the recipe has a
            `distill_weight`; it reads the student's normalised images (`training.fit.weights.as_teacher`), is
            moved to the device and put in eval mode.
        on_epoch: Function called after each epoch; returning False ends the run.
        checkpoint: File written at each epoch's end, and within an epoch when `save_every` has passed.
        save_every: Seconds between checkpoints, at the least.
        resume: Go on from `checkpoint` where there is one, at the very step it was written.
        stop: Asked after each step: has a signal come, for example? True: the checkpoint is written and the
            run ends there.
        workers: Threads that augment ahead of the training; the result does not depend on it. None: as
            many as pay, which is none on a CPU: augmentation takes a twentieth of a step there, and the cores
            are busy.
        deterministic: The same bits at every run with this number of threads on this machine.
        progress: Function called every few steps.
        shares: Learning rates of parameters as multiples of the recipe's, by name; of all others 1.
        on_losses: Function called every few steps with the epoch and the losses of all its steps so far.
        on_notice: Function called with a remark on how the run was resumed, or on why its steps cannot be
            recorded.

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
        stack.enter_context(determinism(deterministic, place))
        stack.enter_context(torch.random.fork_rng(devices=[place] if place.type == "cuda" else []))
        before = checkpoint if resume else None
        run = Run(model, train, recipe, seed, place, deterministic, before, teacher, shares, on_notice)
        if run.notice is not None and on_notice is not None:
            on_notice(run.notice)
        keeper = _Keeper(checkpoint, save_every, stop)
        stack.enter_context(float32_where_bfloat16_is_unfit(model, place, run.recipe.precision))
        shape = (run.recipe.batch_size, 3, *train.image_size)
        stack.enter_context(
            faster_depthwise(model, shape, place, run.recipe.precision, run.length, on_notice)
        )
        loader = stack.enter_context(run.loader(workers))
        stopped = False
        while len(run.epochs) < recipe.epochs and not stopped:
            record = run.epoch(loader, validation, progress, keeper, on_losses)
            keeper.save(run)
            stopped = (
                record is None
                or (on_epoch is not None and on_epoch(record) is False)
                or keeper.stop_requested()
            )
    run.finish()
    losses = torch.cat(run.losses).numpy() if run.losses else np.zeros(0, dtype=np.float32)
    return History(tuple(run.epochs), stopped, run.recipe, losses, run.judged)


class _Keeper:
    """Writes checkpoints when they are due, and passes on the request to stop."""

    def __init__(self, path: Path | None, every: float, stop: Callable[[], bool] | None) -> None:
        self._path, self._every, self._stop = path, every, stop
        self._last = time.perf_counter()

    def stop_requested(self) -> bool:
        """Return whether the run shall end."""
        return self._stop is not None and self._stop()

    def due(self) -> bool:
        """Return whether it is time for a checkpoint."""
        return self._path is not None and time.perf_counter() - self._last >= self._every

    def save(self, run: Run) -> None:
        """Write a checkpoint, where the run keeps any."""
        if self._path is not None:
            files.save(self._path, run.state())
            self._last = time.perf_counter()
