"""The parts of benchmarks/gpu.py: each measures one thing and returns plain values."""

from __future__ import annotations

import dataclasses
import os
import random
import time
from collections.abc import Callable, Sequence

import rfcalc
from benchmarks.gpu_job import Job, Keep, Result, Watch
from benchmarks.train_speed import plain_epoch, usual_dataset
from models.errors import SpecError
from models.spec import NetSpec
from records.run import EpochRecord
from search.propose.gate import Gate
from search.propose.space_full import FullSpace
from training.data.samples import Samples
from training.fit.evaluate import evaluate
from training.fit.gang import EpochEnded, Gang, MemberEnded
from training.fit.loop import History, fit
from training.fit.recipe import named

GOAL = 0.87
PLAIN_BATCH = 128
"""Images a step of the plain loop."""


def plain(job: Job, keep: Keep) -> Result:
    """Time an epoch of the plain loop: DataLoader, float32, contiguous."""
    train, _ = job.samples()
    workers = 0 if job.reduced else min(16, os.cpu_count() or 1)
    batch = 16 if job.reduced else PLAIN_BATCH
    dataset, augmentation = usual_dataset(train, "cutout")
    network = job.network("residual")
    seconds = [
        plain_epoch(dataset, network, batch, workers, job.place) for _ in range(1 if job.reduced else 2)
    ]
    return {
        "epoch_seconds": min(seconds),
        "images_per_second": len(train) / min(seconds),
        "workers": workers,
        "augmentation": augmentation,
        "batch_size": batch,
    }


def epochs(job: Job, keep: Keep) -> Result:
    """Time epochs of `residual` and `wide` at several batch sizes, as the default trains them."""
    train, _ = job.samples()
    usual = job.found.get("plain", {}).get("epoch_seconds")
    result: Result = {}
    for name in ("residual", "wide"):
        for batch in (16,) if job.reduced else (128, 512, 1024):
            notices: list[str] = []
            watch = Watch(job.place)
            # As long as a run for which depthwise kernels are compiled; it is ended after its third epoch.
            recipe = job.recipe("standard", batch_size=batch, epochs=2 if job.reduced else 500)
            history = fit(
                job.network(name),
                train,
                None,
                recipe,
                seed=0,
                device=job.device,
                stop=watch,
                on_epoch=lambda epoch: epoch.epoch < 3,
                on_notice=notices.append,
            )
            seconds = min(epoch.seconds for epoch in history.epochs[1:])
            result[f"{name} {batch}"] = {
                "first_step_seconds": watch.first,
                "epoch_seconds": seconds,
                "step_milliseconds": 1000 * seconds / (len(train) // recipe.batch_size),
                "images_per_second": len(train) / seconds,
                "plain_loop_over_ours": usual and name == "residual" and usual / seconds,
                "compile": history.recipe.compile,
                "precision": history.recipe.precision,
                "layout": history.recipe.layout,
                "notices": notices,
            }
            keep(result)
    return result


def gang(job: Job, keep: Keep) -> Result:
    """Time an epoch of gangs of `residual`: all members together, images a second."""
    result: Result = {}
    for batch in (16,) if job.reduced else (128, 512):
        train, _ = job.samples(25_600)
        for size in (1, 2) if job.reduced else (1, 4, 16, 48):
            began = time.perf_counter()
            together = Gang(train, None, device=job.device, size=size)
            recipe = job.recipe("standard", batch_size=batch, epochs=9)
            for number in range(size):
                together.submit(number, job.network("residual", number), recipe, seed=0)
            failed = [event.reason for event in together.round() if isinstance(event, MemberEnded)]
            ready = time.perf_counter() - began
            rounds = []
            for _ in range(1 if job.reduced else 2):
                began = time.perf_counter()
                together.round()
                rounds.append(time.perf_counter() - began)
            left = len(together.running)
            together.close()
            used = len(train) // recipe.batch_size * recipe.batch_size
            result[f"{size} at {batch}"] = {
                "first_round_seconds": ready,
                "images_per_second": used * left / min(rounds),
                "failed": failed,
            }
            keep(result)
    return result


def reached(epochs: Sequence[EpochRecord], began: float = 0.0) -> Result | None:
    """Return when the validation accuracy came to the goal, None where it did not."""
    spent = began
    for epoch in epochs:
        spent += epoch.seconds
        if (epoch.val_accuracy or 0) >= GOAL:
            return {"seconds": spent, "epoch": epoch.epoch, "val_accuracy": epoch.val_accuracy}
    return None


def _log(history: History) -> list[Result]:
    return [dataclasses.asdict(epoch) for epoch in history.epochs]


def to_goal(job: Job, keep: Keep) -> Result:
    """Train `residual` by `fast`, two seeds: when does the validation accuracy reach 87 %?"""
    train, validation = job.samples()
    result: Result = {"goal": GOAL, "network": job.preset("residual"), "seeds": []}
    for seed in (0,) if job.reduced else (0, 1):
        changes = {"epochs": 1} if job.reduced else {}
        watch, began = Watch(job.place), time.perf_counter()
        history = fit(
            job.network("residual", seed),
            train,
            validation,
            job.recipe("fast", **changes),
            seed=seed,
            device=job.device,
            stop=watch,
        )
        seconds = time.perf_counter() - began
        # What came before the first epoch's clock, the choice of precision for one, belongs to the time.
        before = seconds - sum(epoch.seconds for epoch in history.epochs)
        result["seeds"].append(
            {
                "seed": seed,
                "seconds": seconds,
                "first_step_seconds": watch.first,
                "reached": reached(history.epochs, before),
                "val_accuracy": history.epochs[-1].val_accuracy,
                "recipe": history.recipe.to_json(),
                "epochs": _log(history),
            }
        )
        keep(result)
    return result


def candidates(job: Job, keep: Keep) -> Result:
    """Train networks of the search's space for 10 epochs each, in a gang, as a search would."""
    train, validation = job.samples()
    count, length, size = (3, 1, 2) if job.reduced else (50, 10, 16)
    waiting = list(enumerate(_drawn(job, count)))
    recipe = job.recipe("fast", epochs=length)
    began = time.perf_counter()
    together = Gang(train, validation, device=job.device, size=size)
    ended: list[MemberEnded] = []
    first_round = None
    while waiting or together.running:
        while waiting and together.free:
            number, spec = waiting.pop()
            together.submit(number, job.network(spec), recipe, seed=0)
        events = together.round()
        first_round = first_round or time.perf_counter() - began
        ended += [event for event in events if isinstance(event, MemberEnded)]
        judged = [event.record.val_accuracy for event in events if isinstance(event, EpochEnded)]
        keep({"seconds": time.perf_counter() - began, "ended": len(ended), "last_round": judged})
    good = [each for each in ended if each.state == "complete"]
    return {
        "seconds": time.perf_counter() - began,
        "first_round_seconds": first_round,
        "candidates": count,
        "epochs_each": length,
        "batch_size": recipe.batch_size,
        "together": size,
        "failed": [each.reason for each in ended if each.state == "failed"],
        "val_accuracy": sorted(each.epochs[-1].val_accuracy or 0.0 for each in good),
    }


def _drawn(job: Job, count: int) -> list[NetSpec]:
    height, width = job.dataset.image_size
    size, draws = (3, height, width), random.Random(0)
    gate = Gate(rfcalc.Budget(min_receptive_field=53, max_params=99_999), size)
    space = FullSpace(size, len(job.dataset.classes), 99_999)
    found: list[NetSpec] = []
    while len(found) < count:
        try:
            spec = space.spec(space.draw(draws))
            if not gate.admission(spec).broken:
                found.append(spec)
        except SpecError:
            continue
    return found


def record(job: Job, keep: Keep) -> Result:
    """Train `wide` by `record` on train and validation for the time that is left; test it once."""
    began = time.perf_counter()
    data = job.dataset
    chosen = job.samples()[0] if job.reduced else Samples.of(data.train, None, data)
    # As long as the run itself may be, which decides what is compiled for it; ended after two epochs.
    probe = fit(
        job.network("wide"),
        chosen,
        None,
        job.recipe("record", **({"epochs": 2} if job.reduced else {})),
        seed=0,
        device=job.device,
        on_epoch=lambda epoch: epoch.epoch < 2,
    )
    left = job.seconds - 2 * (time.perf_counter() - began)  # the run begins as the probe did
    most = 1 if job.reduced else named("record", job.device).epochs
    length = max(1, min(most, int(0.9 * left / probe.epochs[-1].seconds)))
    model, watch = job.network("wide"), Watch(job.place)
    recipe = job.recipe("record", epochs=length)
    history = fit(model, chosen, None, recipe, seed=0, device=job.device, stop=watch)
    test = Samples.of(data.test, None, data)
    return {
        "network": job.preset("wide"),
        "training_seconds": sum(epoch.seconds for epoch in history.epochs),
        "first_step_seconds": watch.first,
        "test_accuracy": evaluate(model, test, device=job.device).accuracy,
        "test_accuracy_flip": evaluate(model, test, device=job.device, flip=True).accuracy,
        "recipe": history.recipe.to_json(),
        "epochs": _log(history),
    }


Part = Callable[[Job, Keep], Result]
PARTS: dict[str, tuple[Part, float]] = {
    "plain": (plain, 60),
    "epochs": (epochs, 90),
    "to_87": (to_goal, 70),
    "gang": (gang, 90),
    "candidates": (candidates, 170),
    "record": (record, float("inf")),
}
"""Each part, and the seconds it may take at the most."""
