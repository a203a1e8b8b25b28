"""Everything about a GPU in one command of six minutes: epochs against the plain loop, gangs, time to 87 %.

    python -m benchmarks.gpu --data cifar10-jpeg.tar.xz --output gpu.json
    python -m benchmarks.gpu --only record --minutes 7     # `wide` by `record` in 7 minutes, say

The parts, in their order: an epoch of the plain loop; epochs of `residual` and `wide` at batches of 128, 512
and 1,024, with the time to the first step; `residual` by `fast` to 87 % of validation, two seeds; gangs of 1,
4, 16 and 48; 50 candidates of the search's space for 10 epochs each; `wide` by `record` in the time left.

Writes one JSON, whole again after each part; the first are done within two minutes. Each part runs in a
process of its own on a GPU: one that dies or hangs costs itself alone, and what it had found is kept. Without
a GPU it runs in a reduced form (a few images, an epoch or two, the network `tiny`): its figures say nothing,
but the script is never untested. Where albumentations is missing, images are augmented by torch, and
the plain loop takes torchvision's transforms; the JSON says which.
"""

# ruff: noqa: E402 (how threads wait is read when torch is imported)
from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from training.fit.process import prepare

prepare()

from benchmarks.gpu_job import Job, Keep, Result
from benchmarks.gpu_parts import PARTS
from records.environment import describe
from records.files import write_json
from training.data import registry as datasets
from training.errors import TrainingError
from training.fit.device import resolve

START = 12.0
"""Seconds that a part's process takes beyond its own time: imports, and its first touch of the GPU."""


def run_here(name: str, job: Job, keep: Keep = lambda so_far: None) -> Result:
    """Run one part in this process; an error is its result, beside what it had found.

    Args:
        name: Of the part.
        job: Its settings.
        keep: Function that is given what was found so far.
    """
    began = time.perf_counter()
    found: Result = {}

    def so_far(result: Result) -> None:
        found.update(result)
        keep(found)

    try:
        result = PARTS[name][0](job, so_far)
    except Exception as error:  # whatever it is: the other parts go on
        result = found | {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
    return result | {"part_seconds": round(time.perf_counter() - began, 2)}


def run_apart(name: str, job: Job) -> Result:
    """Run one part in a process of its own, which may die or hang; what it had found by then is kept."""
    with tempfile.TemporaryDirectory() as folder:
        order, answer = Path(folder, "job.json"), Path(folder, "result.json")
        order.write_text(json.dumps(dataclasses.asdict(job)), encoding="utf-8")
        words = [sys.executable, "-m", "benchmarks.gpu", "--part", name]
        words += ["--job", str(order), "--output", str(answer)]
        limit = job.seconds + START
        try:
            done = subprocess.run(words, timeout=limit, capture_output=True, text=True, check=False)
        except subprocess.TimeoutExpired:
            return _kept(answer) | {"error": f"took longer than {limit:.0f} s"}
        if done.returncode == 0 and answer.is_file():
            return _kept(answer)
        lines = done.stderr.strip().splitlines() or ["no word"]
        return _kept(answer) | {"error": f"ended with code {done.returncode}: {lines[-1][:500]}"}


def _kept(answer: Path) -> Result:
    result: Result = json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else {}
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run all parts within the time, or one of them for another process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="as train.py's")
    parser.add_argument("--cache", default="data/cache", help="where decoded images are kept")
    parser.add_argument("--output", type=Path, default=Path("gpu.json"))
    parser.add_argument("--minutes", type=float, default=6.0, help="the whole may take (default 6)")
    parser.add_argument("--only", choices=list(PARTS), nargs="+", help="these parts alone")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.part:
        job = Job(**json.loads(options.job.read_text(encoding="utf-8")))
        keep = functools.partial(write_json, options.output)
        write_json(options.output, run_here(options.part, job, keep))
        return 0
    began = time.perf_counter()
    end = began + 60 * options.minutes
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
        if options.only and name not in options.only:
            continue
        left = end - time.perf_counter() - (0 if reduced else START)
        if left < 5:
            found[name] = {"skipped": "no time was left"}
        else:
            job = Job(options.data, options.cache, device, reduced, min(limit, left), found)
            found[name] = run_here(name, job) if reduced else run_apart(name, job)
            found[name]["done_after_seconds"] = round(time.perf_counter() - began, 1)
        write_json(options.output, found)
        sys.stderr.write(f"{name}: {json.dumps(_short(found[name]))}\n")
    return 0


def _short(result: Result) -> Result:
    """Leave out what has an entry an epoch."""
    return {key: value for key, value in result.items() if key not in ("epochs", "seeds", "recipe")}


if __name__ == "__main__":
    sys.exit(main())
