"""The executors by name, as `--executor` chooses them: an executor is added by one entry here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from search.execute.local import LocalProcesses
from search.execute.protocol import ClusterExecutor, Executor, Place
from search.execute.ray.before import check
from search.execute.ray.executor import RayCluster
from search.execute.worker import Work

DEFAULT = "local"


class MakeExecutor(Protocol):
    """How an executor of this machine is made; a class that takes these arguments is one."""

    def __call__(self, jobs: int, device: str, work: Work, place: Place) -> Executor:
        """Return an executor that runs so many jobs at a time.

        Args:
            jobs: How many train at the same time.
            device: "cpu", "cuda" or "mps".
            work: What is done with each job.
            place: Where, and what each job gets there.

        Raises:
            SearchError: Nothing can be run there.
        """


class OpenCluster(Protocol):
    """How a cluster is reached; a class that takes these arguments is one."""

    def __call__(self, jobs: int, device: str, work: Work, place: Place, *, exact: bool) -> ClusterExecutor:
        """Return the executor of a cluster that answers and has room for a job.

        Args:
            jobs: How many train at the same time.
            device: "cpu", "cuda" or "mps"; of the nodes.
            work: What is done with each job.
            place: The cluster, and what each job gets there.
            exact: Whether `jobs` stay as they are where the cluster has room for fewer, the others to wait.

        Raises:
            SearchError: The cluster cannot be used; one line.
        """


@dataclass(frozen=True)
class Cluster:
    """An executor of other machines, where each job has its own share of one, however many jobs there are.

    Attributes:
        check: Refuses an address at once, before images are decoded, with a SearchError.
        open: Reaches the cluster, once and before a search writes anything.
    """

    check: Callable[[str], None]
    open: OpenCluster


def _local(jobs: int, device: str, work: Work, place: Place) -> Executor:
    return LocalProcesses(jobs, device, work)


EXECUTORS: dict[str, MakeExecutor | Cluster] = {DEFAULT: _local, "ray": Cluster(check, RayCluster)}
"""Name, and how it is made on this machine or reached elsewhere; its module is beside this one."""


def cluster(name: str) -> Cluster | None:
    """Return the entry of a cluster; None for an executor of this machine, or none at all."""
    found = EXECUTORS.get(name)
    return found if isinstance(found, Cluster) else None


def clusters() -> list[str]:
    """Return the names of the clusters."""
    return [name for name in EXECUTORS if cluster(name) is not None]


def make(name: str, jobs: int, device: str, work: Work) -> Executor:
    """Return a new executor of this machine; arguments as those of `MakeExecutor`."""
    found = EXECUTORS[name]
    assert not isinstance(found, Cluster), "a cluster is opened once, while the search is planned"
    return found(jobs, device, work, Place())
