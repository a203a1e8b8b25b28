"""The default executor: worker processes on this machine."""

import multiprocessing
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from search.execute import worker
from search.execute.job import Job, Outcome
from search.execute.protocol import EpochDone, Event, JobDone, Notice
from search.execute.worker import Message, Work

SILENCE = 60.0
"""Seconds without a sign of life after which a worker counts as stopped for good."""
STARTING = 60.0
"""The same until its first one: a busy machine takes long to start a process."""


class LocalProcesses:
    """An executor of at most `jobs` worker processes, each of which is started when it is first needed.

    Each has its share of the threads, and of the GPU's memory: one that runs out fails alone.

    Args:
        jobs: How many train at the same time.
        device: "cpu", "cuda" or "mps".
        work: What a worker does with a job; another one than training is for tests and campaigns.
        silence: Seconds without a sign of life after which a worker is killed and its job failed; `SILENCE`
            by default, and at least that while it starts.
    """

    def __init__(self, jobs: int, device: str, work: Work = worker.run, silence: float | None = None) -> None:
        self._jobs, self._device, self._work = jobs, device, work
        self._silence = SILENCE if silence is None else silence
        self._looked = time.monotonic()
        self._workers: list[_Worker] = []

    @property
    def free(self) -> int:
        """How many more jobs can be submitted now."""
        return self._jobs - sum(each.job is not None for each in self._workers)

    @property
    def pids(self) -> list[int]:
        """The workers' processes."""
        return [each.process.pid for each in self._workers if each.process.pid is not None]

    def submit(self, job: Job) -> None:
        """Hand `job` to an idle worker; start one where there is none."""
        assert self.free
        idle = next((each for each in self._workers if each.job is None), None)
        if idle is None:
            idle = self._start()
            self._workers.append(idle)
        idle.job, idle.silent = job, 0.0
        with suppress(OSError):  # a worker that has just died is met in `wait`
            idle.connection.send(job)

    def wait(self, timeout: float) -> Sequence[Event]:
        """Return what the workers report; one that died or fell silent is a failed job, and is replaced."""
        busy = {each.connection: each for each in self._workers if each.job is not None}
        if not busy:  # `multiprocessing.connection.wait` of nothing does not wait on every system
            time.sleep(timeout)
        events: list[Event] = []
        ready = [busy[connection] for connection in wait(list(busy), timeout)]  # type: ignore[index]  # no others were given
        for each in ready:
            assert each.job is not None
            each.silent, each.greeted = 0.0, True
            try:
                message = each.connection.recv()
            except (EOFError, OSError):
                events.append(JobDone(each.job, self._replace(each, None)))
                continue
            if isinstance(message, Outcome):
                events.append(JobDone(each.job, message))
                # A failure may have left its process short of memory, or the GPU unusable.
                if message.state == "failed":
                    self._replace(each, message.reason)
                each.job = None
            elif isinstance(message, str):
                events.append(Notice(each.job, message))
            elif message is not None:  # None is a sign of life
                events.append(EpochDone(each.job, message))
        events.extend(self._silent_ones(timeout))
        return events

    def answer(self, job: Job, *, go_on: bool) -> None:
        """Send the driver's answer; a worker that died meanwhile is met in `wait`."""
        for each in self._workers:
            if each.job == job:
                with suppress(OSError):
                    each.connection.send(go_on)

    def close(self) -> None:
        """Kill the workers: whatever they were training is trained again on resume."""
        for each in self._workers:
            each.connection.close()
            each.process.kill()  # a stopped process (SIGSTOP) obeys this alone
        for each in self._workers:
            each.process.join()

    def _silent_ones(self, timeout: float) -> Iterator[Event]:
        """Give up the workers that were stopped (SIGSTOP) or hang so that not even a thread runs."""
        now = time.monotonic()
        # Ctrl-Z or a closed lid stops the driver too: that time is held against nobody.
        passed, self._looked = min(now - self._looked, 2 * timeout), now
        for each in self._workers:
            if each.job is None:
                continue
            each.silent += passed
            limit = self._silence if each.greeted else max(self._silence, STARTING)
            if each.silent >= limit:
                yield JobDone(each.job, self._replace(each, f"the worker has been silent for {limit:g} s"))

    def _start(self) -> "_Worker":
        # A fork would share CUDA and OpenMP state with the driver.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        share = worker.Share(self._device, self._jobs)
        process = context.Process(
            target=worker.serve, args=(theirs, share, self._work), name="search-worker", daemon=True
        )
        with _deaf_to_ctrl_c():
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def _replace(self, dead: "_Worker", reason: str | None) -> Outcome:
        """Start another worker in the place of `dead`; return the outcome of the job that it had."""
        job = dead.job
        assert job is not None
        if reason is None:
            dead.process.join(timeout=10)
            reason = f"the worker process died ({_manner(dead.process.exitcode)})"
        dead.process.kill()
        dead.process.join()
        dead.connection.close()
        self._workers[self._workers.index(dead)] = self._start()
        return Outcome(number=job.number, attempt=job.attempt, state="failed", seconds=0.0, reason=reason)


@dataclass(eq=False)
class _Worker:
    process: multiprocessing.process.BaseProcess
    connection: "Connection[Job | bool, Message]"
    job: Job | None = None
    silent: float = 0.0
    """Seconds without a sign of life, while it has a job."""
    greeted: bool = False
    """Whether it has given a sign of life since it was started."""


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Start processes with SIGINT blocked: it reaches the whole group, and the driver alone decides."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _manner(code: int | None) -> str:
    """Return how a process ended, in words."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"{name}; out of memory?" if name == "SIGKILL" else name
    return f"exit code {code}"
