"""What a driver keeps about a slot in which jobs run one after the other, whatever runs them.

Every executor whose workers speak the protocol of `search.execute.worker` (an epoch, its answer, a notice, an
outcome, signs of life) reads their messages and judges their silence here.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from search.execute.job import Job, Outcome
from search.execute.protocol import EpochDone, Event, JobDone, Notice
from search.execute.worker import Message

SILENCE = 60.0
"""Seconds without a sign of life after which a worker counts as stopped for good."""
STARTING = 60.0
"""The same until its first one: a busy machine takes long to start a process."""


@dataclass(eq=False, kw_only=True)
class Slot:
    """One worker, as the driver knows it."""

    job: Job | None = None
    silent: float = 0.0
    """Seconds without a sign of life, while it has a job."""
    greeted: bool = False
    """Whether it has given a sign of life since it was started."""

    def begin(self, job: Job) -> None:
        """Note that the worker has `job` from now on."""
        self.job, self.silent = job, 0.0

    def heard(self, message: Message) -> Event | None:
        """Return the event that a message of the worker is; None for a sign of life.

        An outcome ends the job.
        """
        self.silent, self.greeted = 0.0, True
        if self.job is None or message is None:
            return None
        if isinstance(message, Outcome):
            job, self.job = self.job, None
            return JobDone(job, message)
        if isinstance(message, str):
            return Notice(self.job, message)
        return EpochDone(self.job, message)

    def failed(self, reason: str) -> JobDone:
        """End the job of a worker that can no longer end it itself."""
        job, self.job = self.job, None
        assert job is not None
        return JobDone(job, Outcome(job.number, job.attempt, "failed", 0.0, reason=reason))


AnySlot = TypeVar("AnySlot", bound=Slot)


class Watchdog:
    """Finds the workers that were stopped (SIGSTOP) or hang so that not even a thread runs.

    Args:
        limit: Seconds of silence after which a worker is given up, and at least `STARTING` while it starts;
            None: `SILENCE`.
    """

    def __init__(self, limit: float | None = None) -> None:
        self.limit = SILENCE if limit is None else limit
        self._looked = time.monotonic()

    def passed(self, timeout: float) -> float:
        """Return the seconds since the last call that count, where a call waits `timeout` seconds at most.

        Ctrl-Z or a closed lid stops the driver too: that time is held against nobody.
        """
        now = time.monotonic()
        counted, self._looked = min(now - self._looked, 2 * timeout), now
        return counted

    def given_up(self, slots: Iterable[AnySlot], passed: float) -> Iterator[tuple[AnySlot, str]]:
        """Add `passed` seconds to the silence of slots with a job; yield those over the limit, and why."""
        for each in slots:
            if each.job is None:
                continue
            each.silent += passed
            limit = self.limit if each.greeted else max(self.limit, STARTING)
            if each.silent >= limit:
                yield each, f"the worker has been silent for {limit:g} s"
