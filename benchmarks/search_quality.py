"""Which way of searching finds the better network, with the same number of short trainings?

    python -m benchmarks.search_quality --data cifar10-jpeg.tar.xz --trials 20 --epochs 3
    python -m benchmarks.search_quality --data shapes --trials 2 --epochs 1 --images 300 --seeds 0  # a minute

Compares the project's own search (TPE, widths filled up to the limit on parameters, misfits rejected before
they become trials) with random search, with TPE that is told of misfits, with plain Optuna and soft
constraints, and with the hand-made presets; `--methods` takes others too. Every method trains `--trials`
networks (the presets: themselves) for the same epochs on the same images; its score is the best validation
accuracy found. That score is partly luck, the more so the more networks it is the best of: so each method's
best network is trained again with `--retrain` fresh seeds, and the mean of those is the second score. Nothing
is pruned, and no test image is seen.

Everything is in one JSON as soon as it has ended: killed at any moment, the same command goes on; more seeds,
methods or trials can be asked for later. `--report` prints the tables of what is there.
"""

# ruff: noqa: E402 (how threads wait is read when torch is imported)
from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from training.fit.process import prepare

prepare()

from rich.console import Console

from benchmarks.search_rivals import DEFAULT, METHODS, Ground, Method, Trial, counts, drawn, play
from benchmarks.short_runs import (
    Bench,
    Book,
    Sheet,
    add_flags,
    conditions,
    guarded,
    make_spaces,
    minutes,
    open_bench,
    percent,
    presets,
    show,
    stored,
)
from models.presets import PRESETS
from records.flags import natural, positive
from search.propose.sampler import trial_seed
from search.propose.space import fingerprint

NAME = "search_quality"
Cell = dict[str, Any]
"""One method with one seed: its trials, whether it found enough, and how its best did when trained again."""


def parse(arguments: list[str] | None) -> argparse.Namespace:
    methods = "\n".join(f"  {name:15} {method.text}" for name, method in METHODS.items())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"methods:\n{methods}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--trials", type=positive, default=20, help="trainings of each method (default 20)")
    parser.add_argument("--epochs", type=positive, default=4, help="of each training (default 4)")
    parser.add_argument("--retrain", type=natural, default=1, help="fresh seeds for the best (default 1)")
    parser.add_argument(
        "--methods", nargs="+", choices=list(METHODS), default=list(DEFAULT), metavar="M",
        help=f"see below (default {' '.join(DEFAULT)})",
    )  # fmt: skip
    add_flags(parser, f"{NAME}.json")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Contest:
    """The methods, the ground they meet on, and the book that holds what they reached."""

    bench: Bench
    book: Book
    ground: Ground
    options: argparse.Namespace
    console: Console

    def run(self) -> None:
        """Run what the book does not have yet, seed by seed: whole rounds are there first."""
        for seed in self.options.seeds:
            for name in self.options.methods:
                cell = self.cell(name, seed)
                self._play(name, seed, cell)
                self._retrain(name, seed, cell)

    def cell(self, name: str, seed: int) -> Cell:
        """Return a method's cell, a new one where it has none."""
        cells = self.book.content.setdefault("cells", {})
        found: Cell = cells.setdefault(f"{name}/{seed}", {"trials": [], "found_all": True, "retrained": {}})
        return found

    def seconds_left(self, each: float) -> float:
        """Return how long the rest takes, at most, if a training takes `each` seconds."""
        done, left = [each], 0
        for seed in self.options.seeds:
            for name in self.options.methods:
                method, cell = METHODS[name], self.cell(name, seed)
                wanted = len(PRESETS) if method.sampler == "presets" else self.ground.trials
                left += max(0, wanted - sum(counts(trial, method) for trial in cell["trials"]))
                winner = best(cell["trials"], method, self.ground.trials)
                fresh = cell["retrained"].get(_mark(self.ground, method, winner), []) if winner else []
                left += max(0, self.options.retrain - len(fresh))
                done += [trial["seconds"] for trial in cell["trials"] if trial["state"] == "complete"]
        return left * statistics.fmean(done[1:] or done)

    def _play(self, name: str, seed: int, cell: Cell) -> None:
        method, trials = METHODS[name], cell["trials"]
        train = partial(self._train, f"seed {seed}, {name}")
        cell["found_all"] = play(method, seed, self.ground, trials, train, self.book.write)
        self.book.write()

    def _retrain(self, name: str, seed: int, cell: Cell) -> None:
        """Train the best network again with fresh seeds."""
        method = METHODS[name]
        winner = best(cell["trials"], method, self.ground.trials)
        if winner is None:
            return
        spec = self.ground.spec(method, winner)
        scores = cell["retrained"].setdefault(_mark(self.ground, method, winner), [])
        own = trial_seed(seed, cell["trials"].index(winner))
        while len(scores) < self.options.retrain:
            outcome = self._train(
                f"seed {seed}, {name}, its best again", spec, trial_seed(own, len(scores) + 2)
            )
            scores.append(outcome.score if outcome.state == "complete" else None)
            self.book.write()

    def _train(self, what: str, spec: Any, seed: int) -> Any:
        outcome = self.bench.train(spec, self.options.epochs, seed)
        result = percent(outcome.score) if outcome.state == "complete" else outcome.reason
        self.console.print(f"{what}: {result} in {outcome.seconds:.0f} s", highlight=False, markup=False)
        return outcome


def best(trials: Sequence[Trial], method: Method, count: int) -> Trial | None:
    """Return the first of the best trials among the first `count` that count; None: none was trained."""
    scored = [trial for trial in counted(trials, method, count) if trial["score"] is not None]
    return max(scored, key=lambda trial: trial["score"], default=None)


def counted(trials: Sequence[Trial], method: Method, count: int) -> list[Trial]:
    """Return the first `count` trials that use up one; of the presets all, they are a set."""
    chosen = [trial for trial in trials if counts(trial, method)]
    return chosen if method.sampler == "presets" else chosen[:count]


def curve(trials: Sequence[Trial], method: Method, count: int) -> list[float | None]:
    """Return the best score after each of `count` trials; where fewer were found, the last one stays."""
    so_far: list[float | None] = []
    for number in range(1, count + 1):
        winner = best(trials, method, number)
        so_far.append(winner["score"] if winner else None)
    return so_far


def _mark(ground: Ground, method: Method, trial: Trial) -> str:
    return fingerprint(ground.spec(method, trial))


def sheets(content: dict[str, Any], trials: int, ground: Ground) -> list[Sheet]:
    """Return the tables of what a book holds: only cells that have all their trials."""
    by_method = {name: _finished(content, name, trials) for name in METHODS}
    by_method = {name: cells for name, cells in by_method.items() if cells}
    places = sorted({max(1, trials // 4), max(1, trials // 2), trials})
    scores = []
    for name, cells in by_method.items():
        method = METHODS[name]
        curves = [curve(cell["trials"], method, trials) for cell in cells]
        winners = [best(cell["trials"], method, trials) for cell in cells]
        fresh = [
            _mean(cell["retrained"].get(_mark(ground, method, winner), [])) if winner else None
            for cell, winner in zip(cells, winners, strict=True)
        ]
        macs = [winner["macs"] / 1e6 for winner in winners if winner]
        scores.append(
            (
                name,
                str(len(cells)),
                *(_spread([line[place - 1] for line in curves]) for place in places),
                _spread(fresh),
                f"{statistics.fmean(macs):.1f}" if macs else "-",
            )
        )
    effort = [
        (
            name,
            _average(cells, lambda trial: trial["state"] in ("complete", "failed")),
            _average(cells, lambda trial: trial["state"] == "misfit"),
            _average(cells, lambda trial: trial.get("turned_away", 0)),
            _average(cells, lambda trial: trial["state"] == "failed"),
            minutes(statistics.fmean(sum(trial["seconds"] for trial in c["trials"]) for c in cells)),
        )
        for name, cells in by_method.items()
    ]
    best_after = tuple(f"best of {place}" for place in places)
    return [
        Sheet(
            "Validation accuracy in percent, mean ± standard deviation over n seeds",
            ("method", "n", *best_after, "the best, retrained", "its million MACs"),
            tuple(scores),
        ),
        Sheet(
            "Effort, mean of a seed",
            (
                "method",
                "trained",
                "misfits the study knows",
                "turned away silently",
                "failed",
                "training time",
            ),
            tuple(effort),
        ),
    ]


def _finished(content: dict[str, Any], name: str, trials: int) -> list[Cell]:
    prefix = f"{name}/"
    cells = [cell for key, cell in content.get("cells", {}).items() if key.startswith(prefix)]
    wanted = len(PRESETS) if METHODS[name].sampler == "presets" else trials
    return [
        cell
        for cell in cells
        if len(counted(cell["trials"], METHODS[name], wanted)) == wanted or not cell["found_all"]
    ]


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return f"none in {len(values) - len(known)} of {len(values)}"
    deviation = f" ± {100 * statistics.stdev(known):.1f}" if len(known) > 1 else ""
    return f"{100 * statistics.fmean(known):.1f}{deviation}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _average(cells: Sequence[Cell], amount: Callable[[Trial], int]) -> str:
    return f"{statistics.fmean(sum(map(amount, cell['trials'])) for cell in cells):.1f}"


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark, or print what it found."""
    options = parse(arguments)
    console = Console(highlight=False)
    return guarded(partial(_main, options, console))


def _main(options: argparse.Namespace, console: Console) -> int:
    if options.report:
        book = stored(options.output, NAME)
        _print(book, options.trials, make_ground(book, options.trials), console)
        return 0
    bench, book = open_bench(options, NAME, {"epochs": options.epochs}, console)
    ground = make_ground(book, options.trials)
    contest = Contest(bench, book, ground, options, console)
    samples = drawn(ground.spaces[True], ground.budget, bench.input_size, 0, 3)
    each = options.epochs * bench.epoch_seconds(samples or list(ground.presets.values()))
    console.print(f"about {minutes(contest.seconds_left(each))} at most", style="bold")
    began = time.perf_counter()
    contest.run()
    console.print(f"took {minutes(time.perf_counter() - began)}; {options.output}")
    _print(book, options.trials, ground, console)
    return 0


def make_ground(book: Book, trials: int) -> Ground:
    """Return the ground that a book was begun on."""
    facts = book.content["facts"]
    budget, spaces = make_spaces(facts)
    return Ground(spaces, budget, presets(facts), trials)


def _print(book: Book, trials: int, ground: Ground, console: Console) -> None:
    console.print(f"{conditions(book.content)}; {book.content['facts']['epochs']} epochs", soft_wrap=True)
    show(sheets(book.content, trials, ground), console)


if __name__ == "__main__":
    sys.exit(main())
