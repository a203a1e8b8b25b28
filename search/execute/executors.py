"""The executors by name, as `--executor` chooses them."""

from typing import Protocol

from search.execute.local import LocalProcesses
from search.execute.protocol import Executor, Place
from search.execute.ray.executor import RayCluster
from search.execute.worker import Work

DEFAULT = "local"


class Make(Protocol):
    """How an executor is made; a class that takes these arguments is one."""

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


def _local(jobs: int, device: str, work: Work, place: Place) -> Executor:
    return LocalProcesses(jobs, device, work)


EXECUTORS: dict[str, Make] = {DEFAULT: _local, "ray": RayCluster}
"""Name and maker; a new executor of this machine is a module beside this one and a line here."""
CLUSTERS = {"ray"}
"""Those on other machines. `session/reach.py` opens them, once and before a search writes anything: each job
has its own share of a machine, however many there are."""
