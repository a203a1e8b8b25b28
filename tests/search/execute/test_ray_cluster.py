"""A real Ray cluster of two nodes, processes of this machine."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ray_cluster import TwoNodes
from models.presets import PRESETS
from search.execute.job import DataRequest, Job, Outcome
from search.execute.local import LocalProcesses
from search.execute.protocol import EpochDone, Executor, JobDone, Place
from search.execute.ray.executor import RayCluster
from search.execute.worker import Share, run
from tests.search.execute.works import played
from training.fit.recipe import RECIPES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed; pip install -e '.[ray]'"),
]
PATIENCE = 300.0
"""Seconds for anything to happen at all: the end of a test that hangs, not a measure of speed."""
RECIPE = replace(
    RECIPES["fast"], epochs=2, batch_size=16, policy="light", precision="float32", layout="contiguous"
)
SHARE = Share("cpu", 1, 1)


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    nodes = TwoNodes.start()
    yield nodes
    nodes.stop()


def _run(executor: Executor, jobs: list[Job], pruned: int) -> dict[int, Outcome]:
    """Run all jobs; trial `pruned` ends after its first epoch."""
    waiting, ended, deadline = list(jobs), dict[int, Outcome](), time.monotonic() + PATIENCE
    while len(ended) < len(jobs):
        assert time.monotonic() < deadline
        while waiting and executor.free:
            executor.submit(waiting.pop(0))
        for event in executor.wait(1.0):
            if isinstance(event, EpochDone):
                executor.answer(event.job, go_on=event.job.number != pruned)
            elif isinstance(event, JobDone):
                ended[event.job.number] = event.outcome
    return ended


def _timeless(outcome: Outcome) -> Outcome:
    epochs = tuple(replace(epoch, seconds=0.0) for epoch in outcome.epochs)
    return replace(outcome, seconds=0.0, epochs=epochs)


def test_two_nodes_give_the_trials_of_this_machine_to_the_last_digit(
    nodes: TwoNodes, image_folder: Path, tmp_path: Path
) -> None:
    data = DataRequest(str(image_folder), str(tmp_path / "cache"), None, 48, 0)
    networks = [replace(PRESETS[name], classes=2) for name in ("tiny", "residual", "tiny")]
    jobs = [
        Job(number, 1, spec.to_json(), RECIPE.to_json(), 100 + number, data, threads=1)
        for number, spec in enumerate(networks)
    ]
    local = LocalProcesses(1, "cpu", run, share=SHARE)
    try:
        here = _run(local, jobs, pruned=1)
    finally:
        local.close()
    cluster = RayCluster(2, "cpu", run, Place(nodes.address, paths=(str(image_folder),)))
    try:
        assert (cluster.found.nodes, cluster.found.cpus, cluster.found.room) == (2, 2.0, 2)
        there = _run(cluster, jobs, pruned=1)
    finally:
        cluster.close()
    assert [here[number].state for number in range(3)] == ["complete", "pruned", "complete"]
    for number, outcome in here.items():
        assert _timeless(outcome) == _timeless(there[number])
        assert outcome.losses is not None


def test_an_actor_that_is_killed_or_stopped_is_a_failed_job_and_is_replaced(nodes: TwoNodes) -> None:
    job = Job(4, 1, {}, {"epochs": 3}, 7, DataRequest("shapes", "nowhere", None, None, 0))
    cluster = RayCluster(1, "cpu", played, Place(nodes.address), silence=5.0)
    try:
        for strike, reason in (
            (signal.SIGKILL, "the worker's actor died (killed; out of memory?)"),
            (signal.SIGSTOP, "the worker has been silent for 5 s"),
        ):
            _until(lambda: cluster.wait(0.5) or cluster.free)
            cluster.submit(job)
            _until(lambda: any(isinstance(event, EpochDone) for event in cluster.wait(1.0)))
            (actor,) = nodes.actors()
            os.kill(actor, strike)
            events: list[Any] = []
            _until(lambda: events.extend(cluster.wait(1.0)) or events)  # noqa: B023 (called at once)
            assert events[0].outcome.reason == reason
        _until(lambda: cluster.wait(0.5) or cluster.free)
        assert _run(cluster, [job], pruned=4)[4].state == "pruned"
    finally:
        cluster.close()
    _until(lambda: not nodes.actors())


def _until(holds: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
