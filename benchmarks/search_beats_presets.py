"""Does a search find a network that beats the best preset, and does its control?

    python -m benchmarks.search_beats_presets --data cifar10-jpeg.tar.xz --seeds 0 1 2 --limit 30m
    python -m benchmarks.search_beats_presets --data cifar10-jpeg.tar.xz --epochs 30 --images 45000
    python -m benchmarks.search_beats_presets --data cifar10-jpeg.tar.xz --same-seed --trials 8
    python -m benchmarks.search_beats_presets --data cifar10-jpeg.tar.xz --tau
    python -m benchmarks.search_beats_presets --data shapes --seeds 0 --limit 3m --fresh 1 --trials 8 \
        --epochs 2 --images 1000 --reduced

Runs `python -m search` once for each seed and sampler (`climb`, and `random-moves` as its control at equal
time), without the winner's own training. Then the best network that each search proposed, whether its own
race let it win or not, and the best preset are trained with `--fresh` seeds that no search has used, on the
same images, and compared paired by image. The first table has a row a search; the summary is the mean over
the searches with its 95 % interval (Student's t over the searches), for each sampler and for climb minus
control. With `--epochs 30 --images 45000` the networks of the same searches are compared at full training.

`--same-seed` searches twice with one seed, with one job and with two, and compares every trial.

`--tau` trains the presets and `--children` of the first search at a trial's length (`--short`) and at full
length (30 epochs of 45,000 images, or `--epochs` and `--images`), and prints Kendall's tau of the losses; and
tau of what the rankers of all `--seeds` expected with what they then saw (benchmarks/tau_at_length.py).

Everything that has ended is kept in `--out`: killed at any moment, the same command goes on. Validation
images alone are looked at. Exit code 0: it was measured; 1: `--same-seed` found a difference; 2: it could not
be.
"""

# ruff: noqa: E402 (how threads wait is read when torch is imported)
from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from training.fit.process import prepare

prepare()

from rich.console import Console
from rich.table import Table

from benchmarks.tau_at_length import Length, pairs, picked, show_lengths, show_ranker
from records.flags import natural, positive
from records.generation import GenerationRecord
from records.search import SearchRecord
from records.trial import TrialRecord
from search.execute import worker
from search.execute.job import DataRequest, Job
from search.keep.folder import RunFolder
from search.propose.ranker import kendall_tau
from search.propose.sampler import trial_seed
from search.session.breeding import comparable
from search.session.climb import GENERATIONS
from search.session.paired import Noise, difference, quantile
from search.settings import Settings

FRESH_SEEDS = 9_000_000
"""Seeds that no search has: those of its trials, generations and races are of smaller numbers."""
SAMPLERS = ("climb", "random-moves")
REDUCED = (
    *("--epochs", "2", "--subset", "500", "--final-epochs", "2", "--final-subset", "500"),
    *("--generation", "4"),
)
"""Flags of the searches of the reduced form, which shows that the command works and nothing else."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", default="cifar10", help="as of python -m search (default cifar10)")
    add("--cache", type=Path, default=Path("data/cache"), help="where decoded images are kept")
    add("--seeds", type=natural, nargs="+", default=[0, 1, 2], help="one search each (default 0 1 2)")
    add("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS), help="default both")
    add("--limit", default="30m", help="--time-limit of a search (default 30m)")
    add("--trials", type=positive, default=50, help="trials of a search at most (default 50)")
    add("--flags", default="", help="more flags of the searches, as one text")
    add("--fresh", type=positive, default=3, help="fresh seeds of each network (default 3)")
    add("--epochs", type=positive, help="of a fresh training (default 6, with --tau 30)")
    add("--images", type=positive, help="of a fresh training (default 15,000, with --tau 45,000)")
    add("--reduced", action="store_true", help="searches of very short trainings, to try the command")
    add("--same-seed", action="store_true", help="compare --jobs 1 with --jobs 2 instead")
    add("--tau", action="store_true", help="compare a trial's length with full length instead")
    add("--short", type=Length.read, default=Length(6, 15_000), help="of --tau (default 6x15000)")
    add("--children", type=positive, default=12, help="of --tau, beside the presets (default 12)")
    add("--out", type=Path, default=Path("runs/beats-presets"), help="where searches and trainings are kept")
    options = parser.parse_args(arguments)
    options.epochs = options.epochs or (30 if options.tau else 6)
    options.images = options.images or (45_000 if options.tau else 15_000)
    return options


@dataclass(frozen=True)
class Row:
    """One search: the best network that it proposed against the best preset, over fresh seeds."""

    sampler: str
    seed: int
    title: str
    preset: str
    loss: float
    """Network minus preset."""
    reach: float
    points: float
    won: bool
    """Whether its own race let the network win."""


class Failed(Exception):  # noqa: N818 (it is how a measurement ends)
    """What was asked cannot be measured; one line says why."""


def search(options: argparse.Namespace, name: str, flags: Sequence[str]) -> RunFolder:
    """Run a search, or what is missing of it; return its folder."""
    folder = RunFolder(options.out / name)
    if folder.search_json.is_file() and SearchRecord.read(folder.search_json).stage == "done":
        return folder
    command = [sys.executable, "-m", "search", "--name", name, "--out", str(options.out), "--resume"]
    if not folder.search_json.is_file():
        command += ["--data", options.data, "--cache", str(options.cache), "--trials", str(options.trials)]
        command += ["--time-limit", options.limit, "--winner-epochs", "0", *flags, *options.flags.split()]
        command += REDUCED if options.reduced else ()
    if (code := subprocess.run(command, check=False).returncode) != 0:
        raise Failed(f"the search {name} ended with exit code {code}")
    return folder


def trained(folder: RunFolder, record: TrialRecord, run: int, epochs: int, images: int) -> TrialRecord:
    """Return a fresh training of a network, made now unless it was before."""
    shelf = f"fresh/{epochs}x{images}/{run}"
    for known in folder.trials(shelf):
        if known.number == record.number and known.state == "complete":
            return known
    settings = Settings.from_json(SearchRecord.read(folder.search_json).settings, "search.json, settings")
    seed = trial_seed(settings.seed, FRESH_SEEDS + run)
    data = DataRequest(settings.data, settings.cache, settings.resize, images, settings.seed)
    recipe = {**settings.final_recipe.to_json(), "epochs": epochs}
    job = Job(record.number, 1, record.spec, recipe, seed, data, threads=settings.threads)
    outcome = worker.run(job, settings.device, lambda epoch: True)
    if outcome.state != "complete":
        raise Failed(f"{record.title} failed: {outcome.reason}")
    values = record.to_json() | {"seed": seed, "recipe": recipe, "score": outcome.score}
    found = TrialRecord.from_json(values | {"epochs": [vars(epoch) for epoch in outcome.epochs]})
    folder.keep_losses(found, outcome.losses, shelf)
    folder.keep(found, shelf)
    return found


def compared(options: argparse.Namespace, sampler: str, seed: int, console: Console) -> Row | None:
    """Search, train the best proposed network and the best preset afresh, and compare them."""
    folder = search(options, f"{sampler}-{seed}", ["--sampler", sampler, "--seed", str(seed)])
    found = SearchRecord.read(folder.search_json)
    records = {record.number: record for record in folder.trials()}
    proposed = next((each for each in found.finalists if each.preset is None), None)
    preset = next((each for each in found.finalists if each.preset == found.best_known), None)
    if proposed is None or preset is None:
        console.print(f"{sampler}, seed {seed}: no network was proposed in {options.limit}", style="yellow")
        return None
    both = [records[each.number] for each in (proposed, preset)]
    length = options.epochs, options.images
    runs = [[trained(folder, record, run, *length) for record in both] for run in range(options.fresh)]
    shelves = [f"fresh/{options.epochs}x{options.images}/{run}" for run in range(options.fresh)]
    images: list[Any] = []
    for pair, shelf in zip(runs, shelves, strict=True):
        losses = [folder.losses(record, shelf) for record in pair]
        if all(each is not None for each in losses):
            images.append(tuple(losses))
    ours, theirs = ([pair[place].loss or 0.0 for pair in runs] for place in (0, 1))
    gap = difference(ours, theirs, Noise.measured([ours, theirs]), images)
    points = 100 * fmean((pair[0].score or 0) - (pair[1].score or 0) for pair in runs)
    won = found.winner == proposed.number
    return Row(sampler, seed, proposed.title, preset.title, gap.loss, gap.reach, points, won)


def mean_and_reach(values: Sequence[float]) -> str:
    """Return a mean with half of its 95 % interval, Student's t over the values."""
    if len(values) < 2:
        return f"{fmean(values):+.4f} (n = 1, no interval)"
    reach = quantile(len(values) - 1) * stdev(values) / sqrt(len(values))
    return f"{fmean(values):+.4f} ± {reach:.4f} (n = {len(values)})"


def show(rows: Sequence[Row], console: Console) -> None:
    """Print a row a search, and the means."""
    table = Table(title="Best proposed network minus best preset, fresh seeds", title_justify="left")
    for name in ("sampler", "seed", "network", "preset", "loss", "points", "won its race"):
        table.add_column(name)
    for row in rows:
        loss = f"{row.loss:+.4f} ± {row.reach:.4f}"
        won = "yes" if row.won else "no"
        table.add_row(row.sampler, str(row.seed), row.title, row.preset, loss, f"{row.points:+.2f}", won)
    console.print(table)
    for sampler in dict.fromkeys(row.sampler for row in rows):
        mine = [row for row in rows if row.sampler == sampler]
        console.print(
            f"{sampler}: loss {mean_and_reach([row.loss for row in mine])}, points "
            f"{mean_and_reach([row.points for row in mine])}; handed out, points "
            f"{mean_and_reach([row.points if row.won else 0.0 for row in mine])}"
        )
    by_seed = {(row.sampler, row.seed): row for row in rows}
    seeds = [row.seed for row in rows if row.sampler == "climb" and ("random-moves", row.seed) in by_seed]
    if seeds:
        gaps = [by_seed["climb", seed].points - by_seed["random-moves", seed].points for seed in seeds]
        console.print(f"climb minus control, points: {mean_and_reach(gaps)}")


def same_seed(options: argparse.Namespace, console: Console) -> int:
    """Search twice with one seed, with one job and with two; return 0 where every trial is the same."""
    seed = str(options.seeds[0])
    one, two = (
        search(options, f"same-{jobs}", ["--seed", seed, "--jobs", jobs, "--threads", "1"]) for jobs in "12"
    )
    facts = [
        [(each.number, each.spec, each.seed, each.state, each.loss) for each in folder.trials()]
        for folder in (one, two)
    ]
    winners = [SearchRecord.read(folder.search_json).winner for folder in (one, two)]
    same = facts[0] == facts[1] and winners[0] == winners[1]
    number = next((a[0] for a, b in zip(*facts, strict=False) if a != b), None)
    where = "every loss to the last digit" if same else f"the first that differs is trial {number}"
    console.print(f"--jobs 1 and 2: {len(facts[0])} and {len(facts[1])} trials, winner {winners}; {where}")
    return 0 if same else 1


def tau_at_length(options: argparse.Namespace, console: Console) -> None:
    """Compare the order of networks at two lengths, and expected with measured losses."""
    folders = [
        search(options, f"climb-{seed}", ["--sampler", "climb", "--seed", str(seed)])
        for seed in options.seeds
    ]

    def train(record: TrialRecord, epochs: int, images: int) -> TrialRecord:
        return trained(folders[0], record, 0, epochs, images)

    records = picked(folders[0].trials(), options.children)
    if sum(record.preset is None for record in records) < 2:
        raise Failed(f"the search {folders[0].path.name} trained fewer than two children; raise --limit")
    show_lengths(records, train, options.short, Length(options.epochs, options.images), console)
    groups = []
    for folder in folders:
        paths = sorted((folder.path / GENERATIONS).glob("*.json"))
        groups += pairs([GenerationRecord.read(path) for path in paths], comparable(folder.trials()))
    show_ranker(groups, console)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return the exit code."""
    options, console = parse(arguments), Console()
    try:
        if options.same_seed:
            return same_seed(options, console)
        if options.tau:
            tau_at_length(options, console)
            return 0
        rows = [
            row
            for seed in options.seeds
            for sampler in options.samplers
            if (row := compared(options, sampler, seed, console)) is not None
        ]
    except Failed as error:
        print(f"search_beats_presets: {error}", file=sys.stderr)
        return 2
    if rows:
        show(rows, console)
        tau = kendall_tau([row.loss for row in rows], [-row.points for row in rows])
        if tau is not None and len(rows) > 2:
            console.print(f"Kendall's tau of loss with accuracy over these rows: {tau:.2f}")
        assert np.isfinite([row.loss for row in rows]).all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
