"""The parts of benchmarks/gpu.py: each measures one thing and returns plain values."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.train_speed import plain_epoch, usual_dataset
from models.net import build
from models.presets import PRESETS
from training.batches.loader import Batch, Loader
from training.batches.mixing import Mix
from training.batches.resident import Resident
from training.data import registry as datasets
from training.data.samples import Samples
from training.fit.device import determinism, memory_format, resolve, settle
from training.fit.evaluate import evaluate
from training.fit.loop import History, fit
from training.fit.optim import Ema, build_optimizer
from training.fit.precision import float32_where_bfloat16_is_unfit
from training.fit.recipe import RECIPES, Recipe
from training.fit.step import Step

Result = dict[str, Any]
GOAL = 0.87
BATCH = 128
"""Images a step where loops are timed, the same for both."""


@dataclass(frozen=True)
class Job:
    """The settings of one part."""

    data: str
    cache: str
    device: str
    reduced: bool
    seconds: float
    """It should take no longer."""
    found: Result
    """By the parts before."""

    @property
    def place(self) -> torch.device:
        """Return the device."""
        return resolve(self.device)

    def preset(self, name: str) -> str:
        """Return the network used in place of `name` here."""
        return "tiny" if self.reduced else name

    def recipe(self, name: str, **changes: Any) -> Recipe:
        """Return a named recipe, with this machine's best way to launch, as far as it is known."""
        best = self.found.get("best", {}).get("compile", "off")
        if self.reduced:
            changes["batch_size"] = 16
        return dataclasses.replace(RECIPES[name], **{"compile": best} | changes)

    def samples(self) -> tuple[Samples, Samples, Samples, Samples]:
        """Return train, validation, both together, and test."""
        data = datasets.load(self.data, cache=Path(self.cache))
        train, held_out = datasets.holdout(data.train.labels)
        both: np.ndarray | None = None
        if self.reduced:
            train = datasets.subset(train, data.train.labels, min(48, len(train)), 0)
            both = train
        of = Samples.of
        return (
            of(data.train, train, data),
            of(data.train, held_out, data),
            of(data.train, both, data),
            of(data.test, None, data),
        )

    def network(self, name: str, samples: Samples) -> torch.nn.Module:
        """Return a preset for these images, with fresh weights."""
        spec = PRESETS[self.preset(name)]
        size = (3, *samples.image_size)
        torch.manual_seed(0)
        return build(dataclasses.replace(spec, input_size=size, classes=len(samples.classes)))


def plain(job: Job) -> Result:
    """Time an epoch of the plain loop: DataLoader, float32, contiguous."""
    train = job.samples()[0]
    workers = 0 if job.reduced else min(16, os.cpu_count() or 1)
    recipe = job.recipe("standard", batch_size=BATCH)
    dataset, augmentation = usual_dataset(train, recipe.policy)
    seconds = [
        plain_epoch(dataset, job.network("residual", train), recipe.batch_size, workers, job.place)
        for _ in range(1 if job.reduced else 2)
    ]
    return {
        "epoch_seconds": min(seconds),
        "images_per_second": len(train) / min(seconds),
        "workers": workers,
        "augmentation": augmentation,
        "batch_size": recipe.batch_size,
    }


def launching(mode: str) -> Callable[[Job], Result]:
    """Return the part that times epochs of this project's loop with `compile` as `mode`."""

    def part(job: Job) -> Result:
        if mode == "on" and job.reduced:
            return {"skipped": "compiling takes longer than the whole reduced form"}
        train = job.samples()[0]
        recipe = job.recipe("standard", batch_size=BATCH, epochs=2 if job.reduced else 4, compile=mode)
        history = fit(job.network("residual", train), train, None, recipe, seed=0, device=job.device)
        first, *later = [epoch.seconds for epoch in history.epochs]
        return {
            "epoch_seconds": min(later),
            "first_epoch_seconds": first,
            "images_per_second": len(train) / min(later),
            "recipe": history.recipe.to_json(),
        }

    return part


def best(job: Job) -> Result:
    """Choose the way to launch, and compare it with the plain loop."""
    ways = {
        mode: job.found.get(f"compile_{mode}", {}).get("epoch_seconds") for mode in ("off", "graphs", "on")
    }
    timed = {mode: seconds for mode, seconds in ways.items() if seconds is not None}
    chosen = min(timed, key=timed.__getitem__)
    usual = job.found.get("plain", {}).get("epoch_seconds")
    return {
        "compile": chosen,
        "epoch_seconds": timed[chosen],
        "times_as_fast_as_the_plain_loop": usual and usual / timed[chosen],
    }


def waiting(job: Job) -> Result:
    """Return what share of an epoch getting batches takes: an epoch against as many steps on one batch."""
    train, place = job.samples()[0], job.place
    model = job.network("residual", train).to(place)
    recipe = settle(
        job.recipe("standard", batch_size=BATCH, epochs=99),
        model,
        train.image_size,
        place,
        data_bytes=train.images.nbytes,
    )
    model.to(memory_format=memory_format(recipe.layout))
    with ExitStack() as stack:
        stack.enter_context(determinism(False, place))
        stack.enter_context(float32_where_bfloat16_is_unfit(model, place, recipe.precision))
        optimizer = build_optimizer(model, recipe)
        step = Step(model, train, recipe, optimizer, Ema(model, 100), place)
        loader, other = (stack.enter_context(_loader(train, recipe, place)) for _ in range(2))
        one = next(other.epoch())
        model.train()

        def timed(batches: Iterable[Batch]) -> float:
            began = time.perf_counter()
            for batch in batches:
                step(batch, 0.01, Mix(0.0))
            if place.type == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter() - began

        timed([one] * 10)
        rounds = 1 if job.reduced else 3
        pairs = [(timed(loader.epoch()), timed([one] * loader.steps)) for _ in range(rounds)]
    whole, steps = (min(each) for each in zip(*pairs, strict=True))
    return {
        "epoch_seconds": whole,
        "same_steps_on_one_batch_seconds": steps,
        "share_for_getting_batches": max(0.0, 1 - steps / whole),
        "augment": recipe.augment,
    }


def _loader(train: Samples, recipe: Recipe, place: torch.device) -> Any:
    settings: Result = {"policy": recipe.policy, "batch_size": recipe.batch_size, "seed": 0, "last_epoch": 99}
    if recipe.augment == "gpu":
        return nullcontext(Resident(train, device=place, **settings))
    return Loader(train, workers=0 if place.type == "cpu" else 4, **settings)


def _log(history: History) -> list[Result]:
    return [dataclasses.asdict(epoch) for epoch in history.epochs]


def _epochs_within(job: Job, began: float, epoch_seconds: float, most: int) -> int:
    left = job.seconds - (time.perf_counter() - began)
    return max(1, min(most, int(0.85 * left / epoch_seconds)))


def to_goal(job: Job) -> Result:
    """Train `residual` by `fast`: after how many seconds does the validation accuracy reach 87 %?"""
    began = time.perf_counter()
    train, validation, _, test = job.samples()
    model = job.network("residual", train)
    probe = fit(
        job.network("residual", train),
        train,
        validation,
        job.recipe("fast", epochs=2),
        seed=0,
        device=job.device,
    )
    most = 1 if job.reduced else RECIPES["fast"].epochs
    epochs = _epochs_within(job, began, probe.epochs[-1].seconds, most)
    history = fit(model, train, validation, job.recipe("fast", epochs=epochs), seed=0, device=job.device)
    spent, reached = 0.0, None
    for epoch in history.epochs:
        spent += epoch.seconds
        if reached is None and (epoch.val_accuracy or 0) >= GOAL:
            reached = {"seconds": spent, "epoch": epoch.epoch, "val_accuracy": epoch.val_accuracy}
    return {
        "network": job.preset("residual"),
        "training_seconds": spent,
        "goal": GOAL,
        "reached": reached,
        "test_accuracy": evaluate(model, test, device=job.device).accuracy,
        "recipe": history.recipe.to_json(),
        "epochs": _log(history),
    }


def record(job: Job) -> Result:
    """Train `wide` by `record` on train and validation for as many epochs as there is time; test it once."""
    began = time.perf_counter()
    _, _, both, test = job.samples()
    probe = fit(
        job.network("wide", both), both, None, job.recipe("record", epochs=2), seed=0, device=job.device
    )
    most = 1 if job.reduced else RECIPES["record"].epochs
    epochs = _epochs_within(job, began, probe.epochs[-1].seconds, most)
    model = job.network("wide", both)
    history = fit(model, both, None, job.recipe("record", epochs=epochs), seed=0, device=job.device)
    return {
        "network": job.preset("wide"),
        "training_seconds": sum(epoch.seconds for epoch in history.epochs),
        "test_accuracy": evaluate(model, test, device=job.device).accuracy,
        "test_accuracy_flip": evaluate(model, test, device=job.device, flip=True).accuracy,
        "recipe": history.recipe.to_json(),
        "epochs": _log(history),
    }


PARTS: dict[str, tuple[Callable[[Job], Result], float]] = {
    "plain": (plain, 75),
    "compile_off": (launching("off"), 60),
    "compile_graphs": (launching("graphs"), 60),
    "compile_on": (launching("on"), 100),
    "best": (best, 30),
    "waiting": (waiting, 40),
    "to_87": (to_goal, 150),
    "record": (record, float("inf")),
}
"""Each part, and the seconds it may take at the most."""
