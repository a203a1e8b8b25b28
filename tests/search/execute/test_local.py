"""The local processes, with real training on a handful of images."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from models.presets import PRESETS
from models.spec import NetSpec
from search.execute.job import DataRequest, Job
from search.execute.local import LocalProcesses
from search.execute.protocol import EpochDone, Event, JobDone
from training.fit.recipe import RECIPES

RECIPE = replace(
    RECIPES["fast"], epochs=3, batch_size=16, policy="none", precision="float32", layout="contiguous"
)
SPEC: NetSpec = replace(PRESETS["tiny"], classes=2)


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalProcesses]:
    processes = LocalProcesses(1, "cpu")
    yield processes
    processes.close()


@pytest.fixture
def job(image_folder: Path, tmp_path: Path) -> Job:
    data = DataRequest(str(image_folder), str(tmp_path / "cache"), None, 48, 0)
    return Job(4, 1, SPEC.to_json(), RECIPE.to_json(), 7, data)


def _next(executor: LocalProcesses) -> Event:
    for _ in range(120):
        if events := executor.wait(1.0):
            (event,) = events
            return event
    raise TimeoutError("the worker said nothing for two minutes")


def _drive(executor: LocalProcesses, job: Job, epochs: int) -> JobDone:
    """Let `job` train for so many epochs."""
    assert executor.free == 1
    executor.submit(job)
    assert executor.free == 0
    while isinstance(event := _next(executor), EpochDone):
        executor.answer(event.job, go_on=event.epoch.epoch < epochs)
    assert executor.free == 1
    return event


def test_a_job_trains_to_its_end_and_repeats_itself(executor: LocalProcesses, job: Job) -> None:
    outcome = _drive(executor, job, 99).outcome
    assert (outcome.number, outcome.attempt, outcome.state) == (4, 1, "complete")
    assert [epoch.epoch for epoch in outcome.epochs] == [1, 2, 3]
    assert outcome.score == outcome.epochs[-1].val_accuracy
    again = _drive(executor, job, 99).outcome
    assert [epoch.train_loss for epoch in again.epochs] == [epoch.train_loss for epoch in outcome.epochs]


def test_the_drivers_word_ends_a_job(executor: LocalProcesses, job: Job) -> None:
    outcome = _drive(executor, job, 2).outcome
    assert outcome.state == "pruned"
    assert len(outcome.epochs) == 2


def test_a_training_that_raises_is_a_failed_job_with_its_reason(executor: LocalProcesses, job: Job) -> None:
    spec = replace(SPEC, classes=1).to_json()
    outcome = _drive(executor, replace(job, spec=spec), 99).outcome
    assert outcome.state == "failed"
    assert outcome.reason
    assert "\n" not in outcome.reason


def test_a_worker_that_is_killed_is_a_failed_job_and_is_replaced(executor: LocalProcesses, job: Job) -> None:
    executor.submit(job)
    assert isinstance(_next(executor), EpochDone)
    os.kill(executor.pids[0], signal.SIGKILL)
    event = _next(executor)
    assert isinstance(event, JobDone)
    assert event.outcome.reason == "the worker process died (SIGKILL; out of memory?)"
    assert _drive(executor, job, 1).outcome.state == "pruned"


def test_a_worker_that_is_stopped_is_given_up_after_a_while(image_folder: Path, job: Job) -> None:
    executor = LocalProcesses(1, "cpu", silence=3.0)
    try:
        executor.submit(job)
        assert isinstance(_next(executor), EpochDone)
        (stopped,) = executor.pids
        os.kill(stopped, signal.SIGSTOP)
        event = _next(executor)
        assert isinstance(event, JobDone)
        assert event.outcome.reason == "the worker has been silent for 3 s"
        assert executor.pids != [stopped]
        assert executor.free == 1
        with pytest.raises(ProcessLookupError):
            os.kill(stopped, 0)
    finally:
        executor.close()


def test_closing_ends_workers_that_are_stopped(job: Job) -> None:
    executor = LocalProcesses(2, "cpu")
    pids = executor.pids
    os.kill(pids[0], signal.SIGSTOP)
    executor.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
