"""The executors by name, as `--executor` chooses them."""

from typing import Protocol

from search.execute.local import LocalProcesses
from search.execute.protocol import Executor
from search.execute.worker import Work

DEFAULT = "local"


class Make(Protocol):
    """How an executor is made; a class that takes these arguments is one."""

    def __call__(self, jobs: int, device: str, work: Work) -> Executor:
        """Return an executor that runs so many jobs at a time.

        Args:
            jobs: How many train at the same time.
            device: "cpu", "cuda" or "mps".
            work: What is done with each job.
        """


EXECUTORS: dict[str, Make] = {DEFAULT: LocalProcesses}
"""Name and maker; a new executor is a module beside this one and a line here."""
