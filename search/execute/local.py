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
from search.execute.protocol import Event
from search.execute.slots import Slot, Watchdog
from search.execute.worker import Message, Share, Work


class LocalProcesses:
    """An executor of at most `jobs` worker processes, each of which is started when it is first needed.

    Each has its share of the threads, and of the GPU's memory: one that runs out fails alone.

    Args:
        jobs: How many train at the same time.
        device: "cpu", "cuda" or "mps".
        work: What a worker does with a job; another one than training is for tests and campaigns.
        silence: Seconds without a sign of life after which a worker is killed and its job failed;
            `slots.SILENCE` by default, and at least that while it starts.
        share: What each worker may use of the machine, where that is not one of `jobs` equal parts.
    """

    def __init__(
        self,
        jobs: int,
        device: str,
        work: Work = worker.run,
        silence: float | None = None,
        share: Share | None = None,
    ) -> None:
        self._jobs, self._work = jobs, work
        self._share = share or Share(device, jobs)
        self._watchdog = Watchdog(silence)
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
        idle.begin(job)
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
            try:
                message = each.connection.recv()
            except (EOFError, OSError):
                each.process.join(timeout=10)
                manner = _manner(each.process.exitcode)
                self._replace(each)
                events.append(each.failed(f"the worker process died ({manner})"))
                continue
            if (event := each.heard(message)) is not None:
                events.append(event)
            # A failure may have left its process short of memory, or the GPU unusable.
            if isinstance(message, Outcome) and message.state == "failed":
                self._replace(each)
        for silent, reason in list(self._watchdog.given_up(self._workers, self._watchdog.passed(timeout))):
            self._replace(silent)
            events.append(silent.failed(reason))
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

    def _start(self) -> "_Worker":
        # A fork would share CUDA and OpenMP state with the driver.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, self._share, self._work)
        process = context.Process(target=worker.serve, args=arguments, name="search-worker", daemon=True)
        with deaf_to_ctrl_c():
            process.start()
        theirs.close()
        return _Worker(process=process, connection=ours)

    def _replace(self, dead: "_Worker") -> None:
        """Start another worker in the place of `dead`."""
        dead.process.kill()
        dead.process.join()
        dead.connection.close()
        self._workers[self._workers.index(dead)] = self._start()


@dataclass(eq=False, kw_only=True)
class _Worker(Slot):
    process: multiprocessing.process.BaseProcess
    connection: "Connection[Job | bool, Message]"


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
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
