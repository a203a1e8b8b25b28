"""Does a short training rank networks as a long one does?

    python -m benchmarks.rank_agreement --data cifar10-jpeg.tar.xz --budgets 2 4 --long 12
    python -m benchmarks.rank_agreement --data shapes --specs 3 --budgets 1 --long 2 --images 300 --seeds 0

Draws `--specs` networks of the search's space that fit the budget, spread evenly over its range of MACs (in a
band of parameters that filling makes narrow, cost is what accuracy depends on most), trains each for every
short budget and for the long one on the same images, and prints Kendall's tau between the validation
accuracies. Each budget is a run of its own: a short run's learning rate has come down to zero at its end.
Short and long runs have different seeds, as a trial and a later training have; the long score is the mean
over `--seeds`. The second table takes accuracies from the middle of the runs, which is what pruning goes by.
Nothing is chosen by the scores and no test image is seen.

Everything is in one JSON as soon as it has ended: killed at any moment, the same command goes on; more
budgets or seeds can be asked for later. `--report` prints the tables of what is there.
"""

# ruff: noqa: E402 (how threads wait is read when torch is imported)
from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

from training.fit.process import prepare

prepare()

from rich.console import Console

from benchmarks.search_rivals import drawn
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
    show,
    stored,
)
from models.arithmetic import figures
from models.spec import NetSpec
from records.flags import positive
from search.propose.ranker import kendall_tau
from search.propose.sampler import trial_seed

NAME = "rank_agreement"
POOL = 8
"""Networks drawn for each that is taken."""
RESAMPLES = 1000
Content = Mapping[str, Any]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--specs", type=positive, default=12, help="networks (default 12)")
    add("--budgets", type=positive, nargs="+", default=[2, 4], metavar="EPOCHS", help="short (default 2 4)")
    add("--long", type=positive, default=12, metavar="EPOCHS", help="what they are held against (default 12)")
    add_flags(parser, f"{NAME}.json")
    return parser.parse_args(arguments)


def interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float] | None:
    """Return the middle 90 % of tau over networks drawn again with replacement (the percentile bootstrap)."""
    rng, places = random.Random(0), range(len(first))
    found = []
    for _ in range(RESAMPLES):
        again = rng.choices(places, k=len(first))
        tau = kendall_tau([first[place] for place in again], [second[place] for place in again])
        if tau is not None:
            found.append(tau)
    if not found:
        return None
    found.sort()
    return found[int(0.05 * len(found))], found[int(0.95 * len(found))]


def lost(short: Sequence[float], long: Sequence[float], kept: int) -> float:
    """Return how much the best network by `long` is ahead of the best among the `kept` best by `short`."""
    chosen = sorted(range(len(short)), key=lambda place: -short[place])[:kept]
    return max(long) - max(long[place] for place in chosen)


def spread(specs: Sequence[NetSpec], count: int) -> list[NetSpec]:
    """Return `count` of `specs`, evenly over their order by MACs, the cheapest and the dearest included."""
    ordered = sorted(specs, key=lambda spec: figures(spec, spec.input_size).macs)
    if len(ordered) <= count:
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / max(1, count - 1))] for place in range(count)]


def run_key(spec: int, epochs: int, seed: int) -> str:
    """Return the name of a run: the place of its network, its epochs, and the repetition."""
    return f"{spec}/{epochs}/{seed}"


def curves(content: Content, epochs: int, seed: int) -> list[list[float]] | None:
    """Return the accuracies after each epoch by network; None: not all of these runs have ended well."""
    runs = [content["runs"].get(run_key(spec, epochs, seed)) for spec in range(len(content["specs"]))]
    if any(run is None or run["state"] != "complete" for run in runs):
        return None
    return [run["accuracies"] for run in runs]


def seeds_of(content: Content, epochs: int) -> dict[int, list[list[float]]]:
    """Return the curves of each seed with which all networks were trained for `epochs`."""
    known = sorted({int(key.split("/")[2]) for key in content["runs"]})
    return {seed: found for seed in known if (found := curves(content, epochs, seed)) is not None}


def sheets(content: Content, long: int) -> list[Sheet]:
    """Return the tables of what a book holds, every budget against runs of `long` epochs."""
    reference = seeds_of(content, long)
    if not reference:
        return []
    truth = [statistics.fmean(run[-1] for run in runs) for runs in zip(*reference.values(), strict=True)]
    budgets = sorted({int(key.split("/")[1]) for key in content["runs"]} - {long})
    title = f"{len(truth)} networks, against {long} epochs (n = {len(reference)} seeds, {_range(truth)} %)"
    header = ("", "n", "Kendall's tau", "90 % interval", "points lost", "of the top 3", "accuracy %")
    ends, middles = [], []
    for budget in budgets:
        found = list(seeds_of(content, budget).values())
        for epoch in range(1, budget + 1):
            scores = [[run[epoch - 1] for run in runs] for runs in found]
            if scores and epoch == budget:
                ends.append((f"{budget} epochs", *_agreement(scores, truth)))
            elif scores:
                middles.append((f"epoch {epoch} of {budget}", *_agreement(scores, truth)))
    if len(reference) > 1:
        ends.append(("one long run and another", *_ceiling(reference)))
    result = [Sheet(f"Short runs: {title}", header, tuple(ends))]
    if middles:
        result.append(Sheet(f"What pruning sees: {title}", header, tuple(middles)))
    return result


def _agreement(scores: Sequence[Sequence[float]], truth: Sequence[float]) -> tuple[str, ...]:
    """Return the cells of a row: means over the seeds, and the interval of the first seed's tau."""
    taus = [tau for one in scores if (tau := kendall_tau(one, truth)) is not None]
    between = interval(scores[0], truth)
    return (
        str(len(scores)),
        _tau(taus),
        f"{between[0]:.2f} to {between[1]:.2f}" if between else "-",
        percent(statistics.fmean(lost(one, truth, 1) for one in scores), 2),
        percent(statistics.fmean(lost(one, truth, 3) for one in scores), 2),
        _range([score for one in scores for score in one]),
    )


def _ceiling(reference: Mapping[int, list[list[float]]]) -> tuple[str, ...]:
    """Return the cells of a row: how well long runs agree with each other, for scale."""
    ends = [[run[-1] for run in runs] for runs in reference.values()]
    pairs = list(combinations(ends, 2))
    taus = [tau for one, other in pairs if (tau := kendall_tau(one, other)) is not None]
    return (
        str(len(pairs)),
        _tau(taus),
        "-",
        percent(statistics.fmean(lost(one, other, 1) for one, other in pairs), 2),
        percent(statistics.fmean(lost(one, other, 3) for one, other in pairs), 2),
        _range([score for one in ends for score in one]),
    )


def _tau(taus: Sequence[float]) -> str:
    if not taus:
        return "-"
    deviation = f" ± {statistics.stdev(taus):.2f}" if len(taus) > 1 else ""
    return f"{statistics.fmean(taus):.2f}{deviation}"


def _range(scores: Sequence[float]) -> str:
    return f"{percent(min(scores))} to {percent(max(scores))}"


def run(bench: Bench, book: Book, options: argparse.Namespace, console: Console) -> None:
    """Train what the book does not have yet, network by network."""
    specs = [NetSpec.from_json(spec) for spec in book.content["specs"]]
    runs = book.content["runs"]
    for seed in options.seeds:
        for place, spec in enumerate(specs):
            for epochs in sorted({*options.budgets, options.long}):
                key = run_key(place, epochs, seed)
                if key in runs and runs[key]["state"] == "complete":
                    continue
                outcome = bench.train(spec, epochs, trial_seed(1000 * seed + epochs, place))
                runs[key] = {
                    "state": outcome.state,
                    "accuracies": [epoch.val_accuracy for epoch in outcome.epochs],
                    "seconds": round(outcome.seconds, 3),
                } | ({"reason": outcome.reason} if outcome.reason else {})
                book.write()
                result = percent(outcome.score) if outcome.state == "complete" else outcome.reason
                console.print(
                    f"seed {seed}, network {place + 1} of {len(specs)}, {epochs} epochs: {result} in "
                    f"{outcome.seconds:.0f} s",
                    markup=False,
                )


def seconds_left(book: Book, options: argparse.Namespace, an_epoch: float) -> float:
    """Return how long the rest takes, if an epoch takes `an_epoch` seconds where nothing was measured yet."""
    runs = book.content["runs"]
    ended = [one for one in runs.values() if one["state"] == "complete"]
    if ended:
        an_epoch = sum(one["seconds"] for one in ended) / sum(len(one["accuracies"]) for one in ended)
    done = {key for key, one in runs.items() if one["state"] == "complete"}
    left: int = sum(
        epochs
        for seed in options.seeds
        for place in range(len(book.content["specs"]))
        for epochs in {*options.budgets, options.long}
        if run_key(place, epochs, seed) not in done
    )
    return left * an_epoch


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark, or print what it found."""
    options = parse(arguments)
    return guarded(partial(_main, options, Console(highlight=False)))


def _main(options: argparse.Namespace, console: Console) -> int:
    if options.report:
        _print(stored(options.output, NAME), options.long, console)
        return 0
    bench, book = open_bench(options, NAME, {"specs": options.specs}, console)
    if "specs" not in book.content:
        budget, spaces = make_spaces(book.content["facts"])
        pool = drawn(spaces[True], budget, bench.input_size, 0, POOL * options.specs)
        book.content |= {"specs": [spec.to_json() for spec in spread(pool, options.specs)], "runs": {}}
    specs = [NetSpec.from_json(spec) for spec in book.content["specs"]]
    left = seconds_left(book, options, bench.epoch_seconds(specs[:: max(1, len(specs) // 3)]))
    console.print(f"about {minutes(left)}", style="bold")
    began = time.perf_counter()
    run(bench, book, options, console)
    console.print(f"took {minutes(time.perf_counter() - began)}; {options.output}")
    _print(book, options.long, console)
    return 0


def _print(book: Book, long: int, console: Console) -> None:
    console.print(conditions(book.content), soft_wrap=True)
    show(sheets(book.content, long), console)


if __name__ == "__main__":
    sys.exit(main())
