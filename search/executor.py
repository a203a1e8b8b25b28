"""Where jobs run. The driver knows this interface alone; local processes are its default.

A worker reports each epoch and waits for the driver's word before the next one, so a pruned trial ends at the
same epoch however busy the machine is.
"""

import multiprocessing
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Protocol

from records.run import EpochRecord
from search import worker
from search.job import Job, Outcome


@dataclass(frozen=True)
class EpochDone:
    """A job finished an epoch and waits for `Executor.answer`."""

    job: Job
    epoch: EpochRecord


@dataclass(frozen=True)
class JobDone:
    """A job ended, one way or another."""

    job: Job
    outcome: Outcome


Event = EpochDone | JobDone


class Executor(Protocol):
    """Runs jobs somewhere."""

    @property
    def free(self) -> int:
        """How many more jobs can be submitted now."""

    def submit(self, job: Job) -> None:
        """Start `job`; there must be a free slot."""

    def wait(self, timeout: float) -> Sequence[Event]:
        """Return what happened, after at most `timeout` seconds if nothing did."""

    def answer(self, job: Job, *, go_on: bool) -> None:
        """Let a job that reported an epoch go on, or end it there as pruned."""

    def close(self) -> None:
        """Stop everything at once."""


class LocalProcesses:
    """An executor of `jobs` worker processes on this machine, each with its share of the threads.

    Args:
        jobs: How many train at the same time.
        device: "cpu", "cuda" or "mps".
    """

    def __init__(self, jobs: int, device: str) -> None:
        self._device = device
        self._threads = max(1, (os.cpu_count() or 1) // jobs)
        self._workers = [self._start() for _ in range(jobs)]

    @property
    def free(self) -> int:
        """How many more jobs can be submitted now."""
        return sum(each.job is None for each in self._workers)

    def submit(self, job: Job) -> None:
        """Hand `job` to an idle worker."""
        idle = next(each for each in self._workers if each.job is None)
        idle.job = job
        with suppress(OSError):  # a worker that has just died is met in `wait`
            idle.connection.send(job)

    def wait(self, timeout: float) -> Sequence[Event]:
        """Return what the workers said; one that died counts as a failed job and is replaced."""
        busy = {each.connection: each for each in self._workers if each.job is not None}
        events: list[Event] = []
        for connection in wait(list(busy), timeout):
            each = busy[connection]  # type: ignore[index]  # only connections were waited for
            assert each.job is not None
            try:
                message = each.connection.recv()
            except (EOFError, OSError):
                events.append(JobDone(each.job, self._replace(each)))
                continue
            if isinstance(message, Outcome):
                events.append(JobDone(each.job, message))
                each.job = None
            else:
                events.append(EpochDone(each.job, message))
        return events

    def answer(self, job: Job, *, go_on: bool) -> None:
        """Send the driver's word; a worker that died meanwhile is met in `wait`."""
        for each in self._workers:
            if each.job == job:
                with suppress(OSError):
                    each.connection.send(go_on)

    def close(self) -> None:
        """Kill the workers: whatever they were training is trained again on resume."""
        for each in self._workers:
            each.connection.close()
            each.process.kill()
        for each in self._workers:
            each.process.join()

    def _start(self) -> "_Worker":
        context = multiprocessing.get_context(
            "spawn"
        )  # a fork would share CUDA and OpenMP state with the driver
        ours, theirs = context.Pipe()
        process = context.Process(
            target=worker.serve, args=(theirs, self._device, self._threads), name="search-worker"
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _replace(self, dead: "_Worker") -> Outcome:
        dead.process.join(timeout=10)
        code = dead.process.exitcode
        job = dead.job
        assert job is not None
        dead.connection.close()
        self._workers[self._workers.index(dead)] = self._start()
        reason = f"the worker process died (exit code {code})"
        return Outcome(number=job.number, attempt=job.attempt, state="failed", seconds=0.0, reason=reason)


@dataclass(eq=False)
class _Worker:
    process: multiprocessing.process.BaseProcess
    connection: "Connection[Job | bool, EpochRecord | Outcome]"
    job: Job | None = None
