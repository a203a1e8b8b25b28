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

from benchmarks.kill_search import Campaign
from benchmarks.processes import children, command, runs
from benchmarks.ray_cluster import TwoNodes

GRACE = 100.0
"""Seconds that the actors of a dead driver have to end: without its head a node waits 60 s for it."""


class RayCampaign(Campaign):
    """Searches on a cluster of two nodes."""

    pause = 12.0

    def __init__(self, folder: Path, trials: int, jobs: int, seed: int) -> None:
        super().__init__(folder, trials, jobs, seed)
        self._nodes: TwoNodes | None = None
        self._trained: set[int] = set()
        of_all = self.strikes
        self.strikes = {
            "worker": of_all["worker"],
            "stop a worker": of_all["stop a worker"],
            "actor": lambda driver, workers: self._kill_one(self._cluster.actors()),
            "raylet": lambda driver, workers: self._kill_one(
                [node["raylet"][0] for node in self._cluster.nodes]
            ),
            "head": lambda driver, workers: self._kill_head(),
            "driver": of_all["driver"],
        }

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
        found = [pid for actor in self._cluster.actors() for pid in children(actor)]
        self._trained.update(found)
        return found

    @property
    def _cluster(self) -> TwoNodes:
        assert self._nodes is not None
        return self._nodes

    def _kill_one(self, victims: list[int]) -> None:
        victims = [pid for pid in victims if runs(pid)]
        if not victims:
            raise ProcessLookupError
        os.kill(self.random.choice(victims), signal.SIGKILL)

    def _kill_head(self) -> None:
        head = self._cluster.nodes[0]
        victims = [pid for pid in head["gcs_server"] + head["raylet"] if runs(pid)]
        if not victims:
            raise ProcessLookupError
        for pid in victims:
            os.kill(pid, signal.SIGKILL)

    def _survivors(self, session: int) -> list[str]:
        """Return what is left of the driver's session and of its actors; end a cluster that was struck."""
        left = super()._survivors(session)
        deadline = time.monotonic() + GRACE
        while (alive := [*self._actors(), *self._orphans()]) and time.monotonic() < deadline:
            time.sleep(0.5)
        for pid in alive:
            left.append(f"process {pid}: {command(pid)[:120]!r}")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._nodes is not None and not self._whole():
            self.close()
        return left

    def _actors(self) -> list[int]:
        return [] if self._nodes is None else self._nodes.actors()

    def _whole(self) -> bool:
        """Return whether all processes of the cluster run."""
        parts = ("raylet", "gcs_server")
        return all(runs(pid) for node in self._cluster.nodes for part in parts for pid in node.get(part, ()))

    def _orphans(self) -> list[int]:
        """Return training processes that are still there: one that was stopped, say."""
        return [pid for pid in self._trained if runs(pid) and b"spawn_main" in command(pid)]
