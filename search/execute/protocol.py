"""What an executor is: the interface between the driver and whatever runs its jobs.

A worker reports each epoch and waits for the driver's answer before the next one, so a pruned trial ends at
the same epoch however busy the machine is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from records.run import EpochRecord
from search.execute.job import Job, Outcome


@dataclass(frozen=True)
class EpochDone:
    """A job finished an epoch and waits for `Executor.answer`."""

    job: Job
    epoch: EpochRecord


@dataclass(frozen=True)
class Notice:
    """A job has something to say that the user should know; nothing waits for an answer."""

    job: Job
    text: str


@dataclass(frozen=True)
class JobDone:
    """A job ended, one way or another."""

    job: Job
    outcome: Outcome


Event = EpochDone | Notice | JobDone


@dataclass(frozen=True)
class Place:
    """Where jobs run and what each of them gets there; this machine's executor needs none of it."""

    address: str = "auto"
    """Of a cluster, as its own client takes it; "auto" is one that runs on this machine."""
    cpus: int = 1
    """Of each job."""
    gpus: float = 0.0
    """Of each job; several may share one."""
    paths: tuple[str, ...] = ()
    """Files and folders, absolute, that every machine of the cluster must see."""


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


@dataclass(frozen=True)
class Capacity:
    """What a cluster has."""

    nodes: int
    cpus: float
    gpus: float
    room: int
    """How many jobs its nodes have room for at the same time, were they idle."""


class ClusterExecutor(Executor, Protocol):
    """Runs jobs on other machines."""

    jobs: int
    """How many it runs at the same time; fewer than asked for where there is no room."""

    @property
    def found(self) -> Capacity:
        """What the cluster has."""
