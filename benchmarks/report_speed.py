"""The page of a search: how long it takes, how much memory, how large it is, and how smoothly it brushes.

    python -m benchmarks.report_speed [--trials 50 5000 10000] [--json FILE]

The studies are made up: 14 proposed dimensions, a network with its growth, a parent and two moves a trial,
specs and recipes as the search writes them, ten epochs a trial. `python -m reports` runs in a process of its
own on a warm disk cache; where there is a Chromium, the page is then opened from disk, all trials are shown,
and the mouse is dragged along an axis of the parallel coordinates: script is the time that the page
computes a move, frame the time from one picture to the next.
"""

import argparse
import copy
import importlib.util
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
from rich.console import Console
from rich.table import Table

from models.presets import PRESETS
from models.source import standalone_source
from records.files import write_json
from records.run import DatasetFacts, Environment, EpochRecord, RunRecord
from records.search import Finalist, LimitRecord, SearchRecord
from records.trial import TrialRecord
from reports.figures.training import save_mistakes
from training.fit.recipe import RECIPES

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
KINDS = ("conv", "depthwise_separable", "split", "dilated")
SPEC, RECIPE = PRESETS["tiny"].to_json(), RECIPES["fast"].to_json()
MOVES = 60
"""Mouse moves of the drag that is timed."""


def trial(number: int) -> TrialRecord:
    """Make up one trial; the same number gives the same one."""
    noise = random.Random(number)
    values: dict[str, int | float | str] = {
        f"c{stage}_width": noise.randrange(16, 129, 4) for stage in range(1, 5)
    }
    values |= {f"c{stage}_depth": noise.randint(1, 3) for stage in range(1, 5)}
    values |= {f"c{stage}_kind": noise.choice(KINDS) for stage in range(1, 5)}
    values |= {"kernel": noise.choice((3, 5, 7)), "gate": round(noise.random(), 4)}
    params = 95_000 + noise.randrange(5_000)
    macs = noise.randrange(5_000_000, 45_000_000)
    top = 0.5 + 0.3 * math.log(macs / 5e6) / math.log(9) + noise.gauss(0, 0.02)
    state = "failed" if noise.random() < 0.02 else "pruned" if noise.random() < 0.6 else "complete"
    epochs = tuple(
        EpochRecord(e, 2.3 * 0.8**e, top * (1 - 0.6**e), 2.2 * 0.8**e, top * (1 - 0.5**e), 0.01 / e, 3.3)
        for e in range(1, {"failed": 0, "pruned": 4, "complete": 10}[state] + 1)
    )
    network = spec(noise)
    return TrialRecord(
        *(number, 1, state, network, RECIPE, number, values, params, macs, noise.choice((61, 69, 85))),
        margins={"max_params": params - 99_999.0},
        score=epochs[-1].val_accuracy if epochs else None,
        seconds=3.3 * len(epochs),
        epochs=epochs,
        reason={"failed": "RuntimeError: loss is nan", "pruned": "below the median"}.get(state),
        parent=noise.randrange(number) if number else None,
        growth=growth(network),
        moves=tuple(f"c{noise.randint(1, 4)} x {noise.choice((0.7, 0.85, 1.2, 1.4))}" for _ in range(2)),
    )


def spec(noise: random.Random) -> dict[str, Any]:
    """Make up a network: the layers of a preset with widths of their own and now and then another kernel."""
    found = copy.deepcopy(SPEC)
    for stage in ("c1", "c2", "c3", "c4"):
        width = noise.randrange(16, 129, 4)
        for layer in found[stage]:
            layer |= {"width": width, "kernel": noise.choice((3, 3, 3, 5))}
    return found


def growth(network: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    """Make up how the field grows: two lines a layer, the first of which widens it."""
    found: list[tuple[str, int]] = []
    size = jump = 1
    for stage in ("stem", "c1", "c2", "c3", "c4"):
        for at, layer in enumerate(network[stage]):
            size += (layer.get("kernel", 3) - 1) * layer.get("dilation", 1) * jump
            jump *= layer.get("stride", 1)
            found += [(f"{stage}.{at}.depthwise", size), (f"{stage}.{at}.pointwise", size)]
    return tuple(found)


def study(folder: Path, count: int) -> None:
    """Write the folder of a made-up search of `count` trials, its winner included."""
    (folder / "trials").mkdir(parents=True)
    trials = [trial(number) for number in range(count)]
    for each in trials:  # written plainly: thousands of fsyncs would take minutes
        (folder / "trials" / f"{each.number}-1.json").write_text(json.dumps(each.to_json(), indent=2))
    best = max(trials, key=lambda each: each.score or 0.0)
    dataset = DatasetFacts(
        *("cifar10", "cifar10", "CIFAR-10 (made up for timing)", "0" * 16, CLASSES, (32, 32)),
        *(45_000, 5_000, 10_000),
        mean=(125.3, 123.0, 113.9),
        std=(63.0, 62.1, 66.7),
    )
    place = Environment("cpu", "made up", 2, {"python": "3.11"}, None, None)
    states = [each.state for each in trials]
    search = SearchRecord(
        *("speed", "finished", "done", "2026-01-01T00:00:00Z", 3600.0, "python -m search", 0, "TPESampler"),
        *("tiny", count, {"epochs": 10}, {"max_params": 99_999, "min_receptive_field": 53}, dataset, place),
        trials={
            "rejected": count,
            **{state: states.count(state) for state in ("complete", "pruned", "failed")},
        },
        rejections={"max_params": count},
        importances={name: 1 / len(best.values) for name in best.values},
        finalists=(Finalist(best.number, 0.9, best.score or 0, best.params, best.macs, 69, 30, 99.0),),
        winner=best.number,
        verdict=(LimitRecord("max_params", 99_999, best.params, best.params - 99_999.0, True),),
    )
    write_json(folder / "search.json", search.to_json())
    winner(folder / "best", dataset, place, best)


def winner(folder: Path, dataset: DatasetFacts, place: Environment, best: TrialRecord) -> None:
    """Write the run of the winner, with pictures as hard to compress as photographs."""
    noise = numpy.random.default_rng(0)
    labels, said = noise.integers(0, 10, 10_000), noise.integers(0, 10, 10_000)
    matrix = numpy.zeros((10, 10), int)
    numpy.add.at(matrix, (labels, said), 1)
    run = RunRecord(
        *("best", "tiny", RECIPE, 0, dataset, place, best.params, best.macs, (69, 69), 600.0),
        started="2026-01-01T00:00:00Z",
        spec=SPEC,
        test_accuracy=0.9,
        per_class=dict.fromkeys(CLASSES, 0.9),
        confusion=tuple(tuple(int(each) for each in row) for row in matrix),
        epochs=tuple(replace(best.epochs[0], epoch=epoch) for epoch in range(1, 31)),
    )
    write_json(folder / "run.json", run.to_json())
    (folder / "model.py").write_text(standalone_source(PRESETS["tiny"]))
    sure = noise.random(10_000)
    numpy.savez(folder / "predictions.npz", labels=labels, predictions=said, confidence=sure)
    smooth = noise.integers(0, 200, (10_000, 8, 8, 3)).repeat(4, axis=1).repeat(4, axis=2)
    pixels = (smooth + noise.integers(0, 56, (10_000, 32, 32, 3))).astype(numpy.uint8)
    save_mistakes(folder / "mistakes.png", pixels, labels, said, sure, CLASSES)


def built(folder: Path) -> dict[str, float]:
    """Run `python -m reports` on the folder; return seconds, processor seconds, peak memory and bytes."""
    command = [sys.executable, "-m", "reports", str(folder)]
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1000,
        "page_kb": (folder / "report.html").stat().st_size / 1000,
    }


def brushed(page: Path) -> dict[str, float]:
    """Drag along an axis with all trials shown; return milliseconds of script and between frames, a move."""
    path = ROOT / "tests" / "reports" / "browser" / "conftest.py"
    spec = importlib.util.spec_from_file_location("browser_of_the_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    program = next(filter(None, map(shutil.which, module.NAMES)), None)
    if program is None:
        return {}
    browser: Any = module.Browser(program)
    try:
        browser.open(page)
        browser.run("byId('top').value = byId('top').max; byId('top').dispatchEvent(new Event('input'))")
        browser.frame()
        x, top, bottom = browser.run(
            "(() => { const band = document.querySelector('[data-axis=macs]');"
            " band.scrollIntoView({block: 'center', inline: 'center'});"
            " const box = band.getBoundingClientRect();"
            " return [box.left + box.width / 2, box.top, box.bottom]; })()"
        )
        browser.run(
            "window.spent = []; window.frames_ = []; { const plain = requestAnimationFrame;"
            " window.requestAnimationFrame = (work) => plain((now) => { const begin = performance.now();"
            " work(now); spent.push(performance.now() - begin);"
            " plain((next) => frames_.push(next - now)); }); }"
        )
        browser.mouse("mouseMoved", x, top + 10)
        browser.mouse("mousePressed", x, top + 10)
        for move in range(1, MOVES + 1):
            browser.mouse("mouseMoved", x, top + 10 + (bottom - top - 20) * move / MOVES)
        browser.run("new Promise((done) => setTimeout(done, 200))")
        script, frames = browser.run("[spent, frames_]")
        browser.mouse("mouseReleased", x, bottom - 10)
    finally:
        browser.close()
    return {
        "moves": len(script),
        "script_ms_median": statistics.median(script),
        "script_ms_max": max(script),
        "frame_ms_median": statistics.median(frames),
        "frame_ms_max": max(frames),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, nargs="+", default=[50, 5000, 10_000])
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    found: dict[int, dict[str, float]] = {}
    for count in options.trials:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "speed"
            study(folder, count)
            found[count] = {**built(folder), **brushed(folder / "report.html")}
    table = Table(title="Report of a made-up search", title_justify="left")
    table.add_column("trials")
    for count in found:
        table.add_column(f"{count:,}", justify="right")
    for name in dict.fromkeys(name for each in found.values() for name in each):
        figures = (f"{each[name]:,.1f}" if name in each else "-" for each in found.values())
        table.add_row(name.replace("_", " "), *figures)
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
