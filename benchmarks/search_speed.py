"""Trials an hour: this project's workers against Optuna's own PyTorch example, and the search's own cost.

    python -m benchmarks.search_speed
    python -m benchmarks.search_speed --data cifar10 --trials 6 --jobs 1 2 --rounds 3

Both train the same networks for the same epochs on the same images with the same policy, batch size and
validation images, in one run, interleaved. The other side is the pattern of Optuna's
`examples/pytorch/pytorch_simple.py` as one would write it for these networks: the widths are suggested inside
the objective, DataLoaders for each trial, float32, contiguous, SGD, `trial.report` and `should_prune` after
each epoch. This project's workers outlive a trial and are started before the clock; the DataLoader's do not,
and are part of the pattern. The last line is what the driver adds to a trial: asking, judging, telling and
writing records, with trainings that take no time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

os.environ["GOMP_SPINCOUNT"] = "20000"  # as the search does, see training/fit/process.py; for both sides

import optuna
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from benchmarks.augment_speed import Plain
from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec, stage_widths, with_widths
from records.run import EpochRecord
from search.execute.job import DataRequest, Job, Outcome
from search.execute.local import LocalProcesses
from search.execute.protocol import EpochDone, JobDone
from search.execute.worker import Report
from training.data.registry import holdout, load, subset
from training.data.samples import Samples
from training.fit import device as devices
from training.fit.recipe import RECIPES, Recipe


def networks(base: NetSpec, count: int) -> list[NetSpec]:
    """Return `count` networks: the base with a C1 and a C4 that differ from one to the next."""
    c1, c2, c3, c4 = stage_widths(base)
    return [with_widths(base, (c1 - 4 * (number % 2), c2, c3, c4 - 4 * number)) for number in range(count)]


def ours(executor: LocalProcesses, jobs: Sequence[Job]) -> float:
    """Train the jobs; return the seconds."""
    began = time.perf_counter()
    waiting, left = list(jobs), len(jobs)
    while left:
        while waiting and executor.free:
            executor.submit(waiting.pop(0))
        for event in executor.wait(1.0):
            if isinstance(event, EpochDone):
                executor.answer(event.job, go_on=True)
            elif isinstance(event, JobDone):
                if event.outcome.state != "complete":
                    raise SystemExit(f"a training failed: {event.outcome.reason}")
                left -= 1
    return time.perf_counter() - began


def example(
    base: NetSpec,
    specs: Sequence[NetSpec],
    train: Samples,
    validation: Samples,
    recipe: Recipe,
    workers: int,
    device: torch.device,
) -> float:
    """Train the same networks as Optuna's example does; return the seconds."""
    names = [f"c{number}_width" for number in range(1, 5)]

    def objective(trial: optuna.Trial) -> float:
        spec = with_widths(base, [trial.suggest_int(name, 4, 256, step=4) for name in names])
        model = build(spec).to(device)
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=trial.suggest_float("lr", 1e-3, 1e-1, log=True),
            momentum=0.9,
            nesterov=True,
        )
        loaders = [
            torch.utils.data.DataLoader(
                Plain(samples, policy, normalise=True),
                batch_size=recipe.batch_size,
                shuffle=learns,
                num_workers=workers,
                persistent_workers=workers > 0,
            )
            for samples, policy, learns in ((train, recipe.policy, True), (validation, "none", False))
        ]
        accuracy = 0.0
        for epoch in range(recipe.epochs):
            model.train()
            for images, labels in loaders[0]:
                images, labels = images.to(device), labels.to(device)
                optimizer.zero_grad()
                loss = F.cross_entropy(model(images), labels)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            model.eval()
            hits = 0
            with torch.no_grad():
                for images, labels in loaders[1]:
                    answers = model(images.to(device)).argmax(1)
                    hits += int((answers == labels.to(device)).sum())
            accuracy = hits / len(validation)
            trial.report(accuracy, epoch)
            trial.should_prune()  # asked, as in the example; not followed: both sides train the same epochs
        return accuracy

    study = optuna.create_study(direction="maximize")
    for spec in specs:
        study.enqueue_trial({**dict(zip(names, stage_widths(spec), strict=True)), "lr": 0.05})
    began = time.perf_counter()
    study.optimize(objective, n_trials=len(specs))
    return time.perf_counter() - began


def instant(job: Job, device: str, report: Report) -> Outcome:
    """Take no time to train: what is left is the search's own."""
    epochs: list[EpochRecord] = []
    state = "complete"
    for number in range(1, int(job.recipe["epochs"]) + 1):
        accuracy = (job.seed % 997) / 2000 + number / 100
        epochs.append(EpochRecord(number, 1.0, accuracy, 1.0, accuracy, 0.1, 0.0))
        if not report(epochs[-1]):
            state = "pruned"
            break
    return Outcome(job.number, job.attempt, state, 0.0, tuple(epochs))


def own_cost(data: str, cache: Path, trials: int) -> float:
    """Return the seconds that a trial costs beside its training, the median of a search of so many trials."""
    from search.options import parse_search
    from search.session.plan import plan_search
    from search.session.session import run
    from search.show.display import Display

    with tempfile.TemporaryDirectory(prefix="search-speed-", dir=".") as name:
        flags = ["--data", data, "--cache", str(cache), "--out", name, "--name", "cost", "--device", "cpu"]
        flags += ["--trials", str(trials), "--finalists", "1", "--final-epochs", "1", "--winner-epochs", "1"]
        console = Console(quiet=True)
        plan = plan_search(parse_search(flags), console)
        moments: list[float] = []

        class Clock(Display):
            def advance(self, note: str) -> None:
                super().advance(note)
                moments.append(time.perf_counter())

        class EnoughError(Exception):
            pass

        class UntilFinalists(Clock):
            def stage(self, name: str, total: int, done: int = 0) -> None:
                if name != "trials":  # the rest would train for real
                    raise EnoughError
                super().stage(name, total, done)

        with suppress(EnoughError):
            run(plan, UntilFinalists(console), instant)
        # Neighbours: the first trial waits for the worker to start.
        return statistics.median(later - sooner for sooner, later in pairwise(moments))


def main() -> None:
    """Measure and print a table: median of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="shapes")
    parser.add_argument("--cache", type=Path, default=Path("data/cache"))
    parser.add_argument("--preset", default="tiny", choices=list(PRESETS))
    parser.add_argument("--images", type=int, default=2_500)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--trials", type=int, default=4, help="networks a round")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="processes of the DataLoader")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--own-trials", type=int, default=50, help="trials of the search whose cost is measured"
    )
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    console = Console(soft_wrap=True)
    device = devices.resolve(options.device)
    dataset = load(options.data, cache=options.cache, resize=None, console=console)
    height, width = dataset.image_size
    base = replace(PRESETS[options.preset], input_size=(3, height, width), classes=len(dataset.classes))
    recipe = replace(RECIPES["fast"], epochs=options.epochs)
    recipe = devices.settle(recipe, build(base), dataset.image_size, device)
    specs = networks(base, options.trials)
    learn, judge = holdout(dataset.train.labels)
    chosen = subset(learn, dataset.train.labels, options.images, 0)
    train, validation = (Samples.of(dataset.train, indices, dataset) for indices in (chosen, judge))
    request = DataRequest(options.data, str(options.cache), None, options.images, 0)
    jobs = [
        Job(number, 1, spec.to_json(), recipe.to_json(), number, request) for number, spec in enumerate(specs)
    ]

    sides: dict[str, Callable[[], float]] = {}
    executors = {count: LocalProcesses(count, device.type) for count in options.jobs}
    for count, executor in executors.items():
        ours(
            executor, [replace(jobs[0], number=-1 - each) for each in range(count)]
        )  # imports, decoded images
        sides[f"search --jobs {count}"] = partial(ours, executor, jobs)
    for workers in options.workers:
        sides[f"Optuna, {workers} loaders"] = partial(
            example, base, specs, train, validation, recipe, workers, device
        )
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, side in sides.items():
            seconds[name].append(side())
    for executor in executors.values():
        executor.close()

    table = Table(
        title=f"{options.trials} networks like {options.preset!r}, {options.epochs} epochs of "
        f"{options.images:,} images of {dataset.title}, judged on {len(validation):,}; "
        f"{devices_of(device)}, {options.rounds} rounds",
        title_justify="left",
    )
    for name in ("", "trials an hour", "seconds a trial", "lowest to highest", "times"):
        table.add_column(name, justify="right" if name else "left")
    best = min(statistics.median(each) for name, each in seconds.items() if name.startswith("Optuna"))
    for name, each in seconds.items():
        middle = statistics.median(each)
        table.add_row(
            name,
            f"{3600 * options.trials / middle:,.0f}",
            f"{middle / options.trials:.2f}",
            f"{min(each) / options.trials:.2f} to {max(each) / options.trials:.2f}",
            f"{best / middle:.2f}",
        )
    console.print(table)
    cost = own_cost(options.data, options.cache, options.own_trials)
    console.print(
        f"the search itself: {cost:.2f} s a trial (median of {options.own_trials}), "
        f"{cost / 20:.1%} of a 20-second trial"
    )


def devices_of(device: torch.device) -> str:
    """Name the machine."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} CPU cores"


if __name__ == "__main__":
    main()
