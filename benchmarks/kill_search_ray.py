"""The campaign of `benchmarks.kill_search` on a Ray cluster, whose own processes are killed too.

Killed are a worker, the actor beside it, a node's raylet, the head (its store of the cluster's state and its
raylet) and the driver, and a worker is stopped. After a raylet or the head the cluster is started anew before
the next session, as its operator would; until then a session either goes on with what is left or ends with
exit code 2, and is resumed.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.kill_search import Campaign, children
from benchmarks.ray_cluster import TwoNodes

GRACE = 100.0
"""Seconds that the actors of a dead driver have to end: without its head a node waits 60 s for it."""


class RayCampaign(Campaign):
    """Searches on a cluster of two nodes."""

    kinds = ("worker", "stop a worker", "actor", "raylet", "head", "driver")
    pause = 12.0

    def __init__(self, folder: Path, trials: int, jobs: int, seed: int) -> None:
        super().__init__(folder, trials, jobs, seed)
        self._nodes: TwoNodes | None = None
        self._trained: set[int] = set()

    def close(self) -> None:
        """End the cluster."""
        if self._nodes is not None:
            self._nodes.stop()
            self._nodes = None

    def _more_flags(self) -> list[str]:
        if self._nodes is None:
            self._nodes = TwoNodes.start()
        return ["--executor", "ray", "--ray-address", self._nodes.address]

    def _workers(self, driver: int) -> list[int]:
        found = [pid for actor in actors() for pid in children(actor)]
        self._trained.update(found)
        return found

    def _strike_elsewhere(self, kind: str) -> None:
        assert self._nodes is not None
        head = self._nodes.nodes[0]
        raylets = [node["raylet"][0] for node in self._nodes.nodes]
        victims = {"actor": actors(), "raylet": raylets, "head": head["gcs_server"] + head["raylet"]}[kind]
        victims = [pid for pid in victims if _runs(pid)]
        if not victims:
            raise ProcessLookupError
        for pid in victims if kind == "head" else [self.random.choice(victims)]:
            os.kill(pid, signal.SIGKILL)

    def _survivors(self, session: int) -> list[str]:
        """Return what is left of the driver's session and of its actors; end a cluster that was struck."""
        left = super()._survivors(session)
        deadline = time.monotonic() + GRACE
        while (alive := [*actors(), *self._orphans()]) and time.monotonic() < deadline:
            time.sleep(0.5)
        for pid in alive:
            left.append(f"process {pid}: {_command(pid)[:120]!r}")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._nodes is not None and not self._whole():
            self.close()
        return left

    def _whole(self) -> bool:
        """Return whether all processes of the cluster run."""
        assert self._nodes is not None
        parts = ("raylet", "gcs_server")
        return all(_runs(pid) for node in self._nodes.nodes for part in parts for pid in node.get(part, ()))

    def _orphans(self) -> list[int]:
        """Return training processes that are still there: one that was stopped, say."""
        return [pid for pid in self._trained if _runs(pid) and b"spawn_main" in _command(pid)]


def actors() -> list[int]:
    """Return the processes of actors that look after a worker."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        if _command(int(path.name)).startswith(b"ray::Berth"):
            found.append(int(path.name))
    return found


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
