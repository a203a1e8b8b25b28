"""Everything about a GPU in one command under ten minutes: speed, time to 87 %, and a `record` run of `wide`.

    python -m benchmarks.gpu --data cifar10-jpeg.tar.xz --output gpu.json

Writes one JSON, whole again after each part, so that what broke off still says what it found. Each part runs
in a process of its own on a GPU: a failed recording of a graph, or a missing compiler, costs that part alone.
Without a GPU it runs in a reduced form (a few images, an epoch or two, the network `tiny`): its figures say
nothing, but the script is never untested. Where albumentations is missing, images are augmented by torch, and
the plain loop takes torchvision's transforms; the JSON says which.
"""

# ruff: noqa: E402 (how threads wait is read when torch is imported)
from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from training.fit.process import prepare

prepare()

from benchmarks.gpu_parts import PARTS, Job, Result
from records.environment import describe
from records.files import write_json
from training.data import registry as datasets
from training.errors import TrainingError
from training.fit.device import resolve


def run_here(name: str, job: Job) -> Result:
    """Run one part in this process; an error is its result."""
    began = time.perf_counter()
    try:
        result = PARTS[name][0](job)
    except Exception as error:  # whatever it is: the other parts go on
        result = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
    return result | {"part_seconds": round(time.perf_counter() - began, 2)}


def run_apart(name: str, job: Job) -> Result:
    """Run one part in a process of its own, which may die or hang."""
    with tempfile.TemporaryDirectory() as folder:
        order, answer = Path(folder, "job.json"), Path(folder, "result.json")
        order.write_text(json.dumps(dataclasses.asdict(job)), encoding="utf-8")
        words = [
            sys.executable,
            "-m",
            "benchmarks.gpu",
            "--part",
            name,
            "--job",
            str(order),
            "--output",
            str(answer),
        ]
        try:
            # Its imports and its first touch of the GPU come on top of what it may take.
            done = subprocess.run(
                words, timeout=job.seconds + 30, capture_output=True, text=True, check=False
            )
        except subprocess.TimeoutExpired:
            return {"error": f"took longer than {job.seconds + 30:.0f} s"}
        if answer.is_file():
            result: Result = json.loads(answer.read_text(encoding="utf-8"))
            return result
        lines = done.stderr.strip().splitlines() or ["no word"]
        return {"error": f"ended with code {done.returncode}: {lines[-1][:500]}"}


def main(arguments: list[str] | None = None) -> int:
    """Run all parts within the time, or one of them for another process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="as train.py's")
    parser.add_argument("--cache", default="data/cache", help="where decoded images are kept")
    parser.add_argument("--output", type=Path, default=Path("gpu.json"))
    parser.add_argument("--minutes", type=float, default=9.5, help="the whole may take (default 9.5)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.part:
        job = Job(**json.loads(options.job.read_text(encoding="utf-8")))
        write_json(options.output, run_here(options.part, job))
        return 0
    end = time.perf_counter() + 60 * options.minutes
    try:
        device = resolve(options.device).type
        datasets.load(options.data, cache=Path(options.cache))  # decoded once, for all parts
    except TrainingError as error:
        sys.stderr.write(f"gpu.py: error: {error}\n")
        return 2
    reduced = device == "cpu"
    found: Result = {
        "environment": dataclasses.asdict(describe(device)),
        "data": options.data,
        "reduced": reduced,
        "albumentations": importlib.util.find_spec("albumentations") is not None,
    }
    for name, (_, limit) in PARTS.items():
        left = end - time.perf_counter() - (0 if reduced else 40)
        if left < 5:
            found[name] = {"skipped": "no time was left"}
            continue
        job = Job(options.data, options.cache, device, reduced, min(limit, left), found)
        found[name] = run_here(name, job) if reduced else run_apart(name, job)
        write_json(options.output, found)
        sys.stderr.write(f"{name}: {json.dumps({k: v for k, v in found[name].items() if k != 'epochs'})}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
