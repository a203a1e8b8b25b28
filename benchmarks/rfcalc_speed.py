"""rfcalc against torchinfo.summary and one real forward, side by side in one run.

    python -m benchmarks.rfcalc_speed [--repeats 7] [--json FILE]

A claim: the whole analysis (rows, both views of the field, counts) takes no longer than torchinfo's summary,
which has no receptive fields at all. Every figure is the median of the repeats, after one warm-up.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import torch
import torchinfo
import torchvision
from rich.console import Console
from rich.table import Table
from torch import nn

from rfcalc import analyze

ROOT = Path(__file__).resolve().parents[1]
SMALL = "from torch import nn; model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())\n"


def median_seconds(contestants: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Time contestants in turns, so that a busy moment of the machine meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    for _ in range(repeats):
        for name, run in contestants.items():
            begin = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def against_torchinfo(name: str, repeats: int) -> dict[str, float]:
    model = torchvision.models.get_model(name, weights=None).eval()
    image = torch.zeros(1, 3, 224, 224)

    def forward() -> None:
        with torch.no_grad():
            model(image)

    contestants = {
        "rfcalc": lambda: analyze(model, (3, 224, 224)),
        "torchinfo": lambda: torchinfo.summary(model, (1, 3, 224, 224), verbose=0),
        "forward": forward,
    }
    return median_seconds(contestants, repeats)


def seconds_and_peak(name: str, size: int, repeats: int) -> dict[str, float]:
    with torch.device("meta"):
        model: nn.Module = torchvision.models.get_model(name, weights=None)
    seconds = median_seconds({"rfcalc": lambda: analyze(model, (3, size, size))}, repeats)["rfcalc"]
    tracemalloc.start()
    analyze(model, (3, size, size))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"seconds": seconds, "peak_mib": peak / 2**20}


def cold_start(repeats: int) -> dict[str, float]:
    def run(command: list[str]) -> Callable[[], object]:
        return lambda: subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.py"
        model.write_text(SMALL)
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "rfcalc model.py": [sys.executable, "-m", "rfcalc", str(model)],
            "rfcalc --help": [sys.executable, "-m", "rfcalc", "--help"],
            "rfcalc --version": [sys.executable, "-m", "rfcalc", "--version"],
        }
        return median_seconds({name: run(command) for name, command in commands.items()}, repeats)


def table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    out = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        out.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        out.add_row(*row)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7, help="timed runs of each contestant (default: 7)")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    repeats = parser.parse_args().repeats
    file = parser.parse_args().json
    console = Console()
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    machine = f"torch {torch.__version__}, {threads}, {platform.machine()}"
    console.print(f"{machine}; median of {repeats}")

    versus = {name: against_torchinfo(name, repeats) for name in ("resnet50", "densenet121")}
    rows = [
        [n, *(f"{f[c] * 1e3:.0f} ms" for c in ("rfcalc", "torchinfo", "forward"))] for n, f in versus.items()
    ]
    console.print(table("Whole analysis at 224x224", ["network", "rfcalc", "torchinfo", "one forward"], rows))

    depth = {
        n: seconds_and_peak(n, 224, repeats)
        for n in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    }
    size = {str(n): seconds_and_peak("resnet50", n, repeats) for n in (32, 64, 128, 224, 512, 1024)}
    for title, figures in (("Against depth, 224x224", depth), ("resnet50 against input size", size)):
        lines = [[n, f"{f['seconds'] * 1e3:.0f} ms", f"{f['peak_mib']:.1f} MiB"] for n, f in figures.items()]
        console.print(table(title, ["", "rfcalc", "peak of Python objects"], lines))

    cold = cold_start(repeats)
    lines = [[n, f"{s:.2f} s", f"{s / cold['import torch']:.2f}x"] for n, s in cold.items()]
    console.print(table("Cold start, whole process", ["command", "time", "of import torch"], lines))

    if file is not None:
        record = {
            "machine": machine,
            "repeats": repeats,
            "versus": versus,
            "depth": depth,
            "size": size,
            "cold": cold,
        }
        file.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
