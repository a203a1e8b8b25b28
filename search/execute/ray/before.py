"""What is found wrong before Ray is imported."""

import os
import socket
from importlib.util import find_spec

from search.errors import SearchError

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
