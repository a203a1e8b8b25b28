"""Second chances: a job that fails is submitted again before the driver learns of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from search.execute.job import Job
from search.execute.protocol import EpochDone, Event, Executor, JobDone

Key = tuple[int, int]


class Attempts:
    """An executor in front of another one; each event is passed on once, of the newest attempt.

    Whatever lies between here and the worker may lose, delay or repeat a message: a result of an attempt that
    was given up, or of one that has ended already, goes unheard.

    Args:
        executor: Where the jobs run.
        retries: How often a failed job is tried again, with the same seed: a run that was disturbed ends as
            the undisturbed one would have.
        on_retry: Called with the job and why it failed.
    """

    def __init__(self, executor: Executor, retries: int, on_retry: Callable[[Job, str], None]) -> None:
        self._executor, self._retries, self._on_retry = executor, retries, on_retry
        self._running: dict[Key, Job] = {}

    @property
    def free(self) -> int:
        """How many more jobs can be submitted now."""
        return self._executor.free

    def submit(self, job: Job) -> None:
        """Start `job`; there must be a free slot."""
        self._running[job.key] = job
        self._executor.submit(job)

    def wait(self, timeout: float) -> Sequence[Event]:
        """Return what happened, after at most `timeout` seconds if nothing did."""
        return [event for event in self._executor.wait(timeout) if self._counts(event)]

    def answer(self, job: Job, *, go_on: bool) -> None:
        """Let a job that reported an epoch go on, or end it there as pruned."""
        self._executor.answer(job, go_on=go_on)

    def close(self) -> None:
        """Stop everything at once."""
        self._running.clear()
        self._executor.close()

    def _counts(self, event: Event) -> bool:
        """Return whether the driver shall hear of `event`."""
        job = event.job
        if self._running.get(job.key) != job:
            if isinstance(event, EpochDone):  # it waits for an answer, and its slot is needed
                self._executor.answer(job, go_on=False)
            return False
        if isinstance(event, JobDone):
            del self._running[job.key]
            if event.outcome.state == "failed" and job.attempt <= self._retries:
                self._on_retry(job, event.outcome.reason or "no reason given")
                self.submit(replace(job, attempt=job.attempt + 1))
                return False
        return True
