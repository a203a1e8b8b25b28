"""What a Ray cluster costs a search: time until the first epoch, and of each trial beside its training.

    python -m benchmarks.ray_overhead --trials 30 --epochs 4

The epochs are empty, so that what is left is the executor's own: messages, answers, outcomes. Local processes
and a cluster of two nodes of processes on this machine do the same trials, two at a time, with a new executor
each round; the nodes themselves are started before.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from statistics import median

from benchmarks.ray_cluster import TwoNodes
from records.flags import positive
from records.run import EpochRecord
from search.execute.job import DataRequest, Job, Outcome
from search.execute.local import LocalProcesses
from search.execute.protocol import EpochDone, Executor, JobDone, Place
from search.execute.ray.executor import RayCluster
from search.execute.worker import Report

JOBS = 2


def empty(job: Job, device: str, report: Report) -> Outcome:
    """Report epochs that took no time."""
    epochs = [
        EpochRecord(number, 1.0, 0.5, 1.0, 0.1, 0.1, 0.0) for number in range(1, job.recipe["epochs"] + 1)
    ]
    for epoch in epochs:
        report(epoch)
    return Outcome(job.number, job.attempt, "complete", 0.0, tuple(epochs))


def measured(make: Callable[[], Executor], trials: int, epochs: int) -> tuple[float, float]:
    """Return the seconds until the first epoch is reported, and of each trial after the first `JOBS`."""
    began, first, warm = time.perf_counter(), 0.0, 0.0
    executor, given, ended = make(), 0, 0
    try:
        while ended < trials + JOBS:
            while executor.free and given < trials + JOBS:
                data = DataRequest("shapes", "nowhere", None, None, 0)
                executor.submit(Job(given, 1, {}, {"epochs": epochs}, 7, data))
                given += 1
            for event in executor.wait(1.0):
                first = first or time.perf_counter() - began
                if isinstance(event, EpochDone):
                    executor.answer(event.job, go_on=True)
                elif isinstance(event, JobDone):
                    ended += 1
                    warm = time.perf_counter() if ended == JOBS else warm
        return first, (time.perf_counter() - warm) / trials
    finally:
        executor.close()


def main() -> None:
    """Measure and print."""
    from benchmarks.ray_overhead import empty as work  # workers find it by its module, not as "__main__"

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=positive, default=30, help="of each round (default 30)")
    parser.add_argument("--epochs", type=positive, default=4, help="of a trial (default 4)")
    parser.add_argument("--rounds", type=positive, default=3, help="default 3")
    options = parser.parse_args()
    began = time.perf_counter()
    nodes = TwoNodes.start()
    sys.stdout.write(f"two nodes started in {time.perf_counter() - began:.1f} s\n")
    try:
        makers: dict[str, Callable[[], Executor]] = {
            "local": lambda: LocalProcesses(JOBS, "cpu", work),
            "ray": lambda: RayCluster(JOBS, "cpu", work, Place(nodes.address)),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in makers}
        for _ in range(options.rounds):
            for name, make in makers.items():
                found[name].append(measured(make, options.trials, options.epochs))
                while nodes.actors():  # its CPUs are needed
                    time.sleep(0.2)
    finally:
        nodes.stop()
    for name, rounds in found.items():
        start, each = (sorted(values) for values in zip(*rounds, strict=True))
        sys.stdout.write(
            f"{name:6} first epoch after {median(start):.1f} s ({start[0]:.1f} to {start[-1]:.1f}), a trial "
            f"{1000 * median(each):.0f} ms ({1000 * each[0]:.0f} to {1000 * each[-1]:.0f})\n"
        )
    load = os.getloadavg()[0]
    sys.stdout.write(f"n = {options.rounds} rounds of {options.trials} trials, load {load:.1f}\n")


if __name__ == "__main__":
    main()
