"""What is found wrong, and made ready, before Ray is imported."""

import os
import socket
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from search.errors import SearchError
from search.execute.job import Job
from training.data.registry import NAMED

KNOCKING = 5.0
"""Seconds for a first connection to the port of an address; a host that drops packets never answers."""


def check(address: str) -> None:
    """Refuse at once what needs no Ray to be found wrong.

    Raises:
        SearchError: Ray is not installed, or nothing listens at the address.
    """
    if find_spec("ray") is None:
        raise SearchError("--executor ray: Ray is not installed here; pip install -e '.[ray]'")
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCKING).close()
    except (OSError, OverflowError) as error:
        raise SearchError(
            f"--ray-address {address}: nothing answers there ({getattr(error, 'strerror', None) or error}); "
            f"start Ray there (ray start --head --port {port}), or correct the address"
        ) from error


def absolute(job: Job) -> Job:
    """Return `job` with paths that mean the same on any machine that sees these files."""

    def full(path: str) -> str:
        return str(Path(path).absolute())

    return replace(
        job,
        data=replace(job.data, data=absolute_data(job.data.data), cache=full(job.data.cache)),
        keep=None if job.keep is None else replace(job.keep, folder=full(job.keep.folder)),
        checkpoint=None if job.checkpoint is None else full(job.checkpoint),
    )


def absolute_data(data: str) -> str:
    """Return what `--data` names with a full path; the name of a named data set stays."""
    return data if data in NAMED else str(Path(data).absolute())
