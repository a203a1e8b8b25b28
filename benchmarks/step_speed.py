"""Milliseconds of one training step, network by network, and what keeping freed memory is worth.

    python -m benchmarks.step_speed tiny residual wide
    python -m benchmarks.step_speed docs/results/logs/train-8-D3.spec.json residual --memory kept

A network is a preset or the file of a spec. Each measurement is a process of its own, because glibc's
allocator is configured once; the networks take turns, so that a slower hour is slower for all of them. A step
is the trainer's own: normalise, forward, backward, optimiser and average, on images of noise.
"""

# ruff: noqa: E402 (how threads wait is read when torch is imported)
from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from training.fit.process import keep_freed_memory, wait_politely

wait_politely()

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from models.arithmetic import figures
from models.errors import SpecError
from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec
from records.flags import positive
from training.batches.loader import Batch
from training.batches.mixing import Mix
from training.data.samples import Samples
from training.fit.ema import Ema
from training.fit.optim import build_optimizer
from training.fit.precision import float32_where_bfloat16_is_unfit
from training.fit.recipe import RECIPES
from training.fit.step import Step

WARM_UP = 3
"""Steps before those that are measured."""
KEPT, RETURNED = "kept", "returned"


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one step took in one process."""

    milliseconds: float
    """Median of the steps."""
    page_faults: float
    """Mean of the steps."""


def network_named(name: str) -> NetSpec:
    """Return a preset, or the spec in a file; SpecError where it is neither."""
    return PRESETS[name] if name in PRESETS else NetSpec.read(Path(name))


def measure(spec: NetSpec, steps: int, batch: int, precision: str) -> Cost:
    """Train `spec` for a few steps on noise, in this process, with recipe `fast`."""
    random = np.random.default_rng(0)
    channels, height, width = spec.input_size
    images = random.integers(0, 256, (batch, height, width, channels), dtype=np.uint8)
    labels = random.integers(0, spec.classes, batch)
    classes = tuple(str(label) for label in range(spec.classes))
    mean, std = (125.0,) * channels, (64.0,) * channels
    samples = Samples(images, labels, classes, mean, std)  # type: ignore[arg-type] # of any channels
    recipe = dataclasses.replace(
        RECIPES["fast"], batch_size=batch, precision=precision, layout="channels_last", compile="off"
    )
    cpu = torch.device("cpu")
    torch.manual_seed(0)
    model = build(spec).to(memory_format=torch.channels_last).train()
    step = Step(model, samples, recipe, build_optimizer(model, recipe), Ema(model, 100), cpu)
    pictures = Batch(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels))
    seconds = []
    with float32_where_bfloat16_is_unfit(model, cpu, precision):
        for number in range(WARM_UP + steps):
            if number == WARM_UP:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            began = time.perf_counter()
            step(pictures, 1e-3, Mix(0.0))
            seconds.append(time.perf_counter() - began)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return Cost(1000 * statistics.median(seconds[WARM_UP:]), faults / steps)


def measure_apart(name: str, memory: str, options: argparse.Namespace) -> Cost:
    """Do that in a process of its own."""
    flags = ["--steps", str(options.steps), "--batch", str(options.batch), "--precision", options.precision]
    words = [sys.executable, "-m", "benchmarks.step_speed", name, "--memory", memory, "--here", *flags]
    ended = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True)
    return Cost(**json.loads(ended.stdout))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a table: medians of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("networks", nargs="+", help=f"files of specs, or any of {', '.join(PRESETS)}")
    add("--memory", choices=("both", KEPT, RETURNED), default="both", help="what becomes of freed memory")
    add("--steps", type=positive, default=30, help="of one process (default 30)")
    add("--rounds", type=positive, default=3, help="processes for each network and way (default 3)")
    add("--batch", type=positive, default=64, help="images a step (default 64)")
    add("--precision", choices=("bfloat16", "float32"), default="bfloat16")
    add("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        specs = {name: network_named(name) for name in options.networks}
    except SpecError as error:
        return _refuse(f"{error}; presets are {', '.join(PRESETS)}")
    if options.memory != RETURNED and not keep_freed_memory():
        return _refuse(
            f"--memory {options.memory}: this allocator keeps nothing (not glibc's, or MALLOC_... or "
            f"GLIBC_TUNABLES is set); use --memory {RETURNED}"
        )
    if options.here:
        (spec,) = specs.values()
        print(json.dumps(dataclasses.asdict(measure(spec, options.steps, options.batch, options.precision))))
        return 0
    ways = (RETURNED, KEPT) if options.memory == "both" else (options.memory,)
    costs: dict[tuple[str, str], list[Cost]] = {(name, way): [] for name in specs for way in ways}
    for _ in range(options.rounds):
        for (name, way), found in costs.items():
            found.append(measure_apart(name, way, options))
    Console().print(_table(specs, ways, costs, options))
    return 0


def _refuse(text: str) -> int:
    Console(stderr=True, soft_wrap=True).print(f"step_speed: error: {text}", markup=False, highlight=False)
    return 2


def _table(
    specs: dict[str, NetSpec],
    ways: tuple[str, ...],
    costs: dict[tuple[str, str], list[Cost]],
    options: argparse.Namespace,
) -> Table:
    title = f"one step of {options.batch} images, {options.precision}, {torch.get_num_threads()} threads"
    table = Table(title=f"{title}, {options.rounds} x {options.steps} steps")
    table.add_column("network")
    for column in ("parameters", "MACs", *(f"{word}, {way}" for way in ways for word in ("faults", "ms"))):
        table.add_column(column, justify="right")
    for name, spec in specs.items():
        known = figures(spec, spec.input_size)
        row = [spec.name, f"{known.params:,}", f"{known.macs / 1e6:.1f} M"]
        for way in ways:
            found = costs[name, way]
            milliseconds = sorted(cost.milliseconds for cost in found)
            row.append(f"{statistics.median(cost.page_faults for cost in found):,.0f}")
            middle, low, high = statistics.median(milliseconds), milliseconds[0], milliseconds[-1]
            row.append(f"{middle:.1f} ({low:.1f} to {high:.1f})")
        table.add_row(*row)
    return table


if __name__ == "__main__":
    sys.exit(main())
