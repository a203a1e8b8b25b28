"""The local processes.

That a busy machine takes long to train is no fault of theirs: where a test is about processes and messages,
the work is played (`works.played`). It was the load that made these tests time out: with 12 programs on 2
cores, three steps of training took more than two minutes.
"""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from models.presets import PRESETS
from models.spec import NetSpec
from records.run import RunRecord
from search.execute.job import DataRequest, Job, Keep
from search.execute.local import LocalProcesses
from search.execute.protocol import EpochDone, Event, JobDone, Notice
from tests.search.execute.works import played
from training.fit.process import SPINS
from training.fit.recipe import RECIPES

PATIENCE = 540.0
"""Seconds for anything to happen at all: the end of a test that hangs, not a measure of speed."""
RECIPE = replace(
    RECIPES["fast"], epochs=3, batch_size=16, policy="none", precision="float32", layout="contiguous"
)
SPEC: NetSpec = replace(PRESETS["tiny"], classes=2)
PLAYED = Job(4, 1, {}, {"epochs": 3}, 7, DataRequest("shapes", "nowhere", None, None, 0))


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalProcesses]:
    processes = LocalProcesses(1, "cpu", played)
    yield processes
    processes.close()


@pytest.fixture(scope="module")
def trainer() -> Iterator[LocalProcesses]:
    """Workers that really train; their threads give way to other programs, as those of the command do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOMP_SPINCOUNT", SPINS)
        processes = LocalProcesses(1, "cpu")
        yield processes
        processes.close()


@pytest.fixture
def job(image_folder: Path, tmp_path: Path) -> Job:
    data = DataRequest(str(image_folder), str(tmp_path / "cache"), None, 48, 0)
    return Job(4, 1, SPEC.to_json(), RECIPE.to_json(), 7, data)


def _next(executor: LocalProcesses) -> Event:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if events := executor.wait(1.0):
            (event,) = events
            return event
    raise TimeoutError(f"nothing happened for {PATIENCE:.0f} seconds")


def _drive(executor: LocalProcesses, job: Job, epochs: int) -> JobDone:
    """Let `job` train for so many epochs."""
    assert executor.free == 1
    executor.submit(job)
    assert executor.free == 0
    while not isinstance(event := _next(executor), JobDone):
        if isinstance(event, EpochDone):
            executor.answer(event.job, go_on=event.epoch.epoch < epochs)
    assert executor.free == 1
    return event


def test_no_process_is_started_before_there_is_a_job() -> None:
    executor = LocalProcesses(2, "cpu", played)
    try:
        assert (executor.pids, executor.free) == ([], 2)
        executor.submit(PLAYED)
        assert (len(executor.pids), executor.free) == (1, 1)
    finally:
        executor.close()


def test_the_answer_of_the_driver_ends_a_job(executor: LocalProcesses) -> None:
    outcome = _drive(executor, PLAYED, 2).outcome
    assert outcome.state == "pruned"
    assert len(outcome.epochs) == 2


def test_a_worker_takes_one_job_after_the_other(executor: LocalProcesses) -> None:
    _drive(executor, PLAYED, 99)
    pids = executor.pids
    assert _drive(executor, replace(PLAYED, number=5), 99).outcome.number == 5
    assert executor.pids == pids


def test_a_worker_that_is_killed_is_a_failed_job_and_is_replaced(executor: LocalProcesses) -> None:
    executor.submit(PLAYED)
    assert isinstance(_next(executor), EpochDone)
    os.kill(executor.pids[0], signal.SIGKILL)
    event = _next(executor)
    assert isinstance(event, JobDone)
    assert event.outcome.reason == "the worker process died (SIGKILL; out of memory?)"
    assert _drive(executor, PLAYED, 1).outcome.state == "pruned"


def test_a_worker_that_is_stopped_is_given_up_after_a_while() -> None:
    executor = LocalProcesses(1, "cpu", played, silence=3.0)
    try:
        executor.submit(PLAYED)
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


def test_closing_ends_workers_that_are_stopped() -> None:
    executor = LocalProcesses(2, "cpu", played)
    executor.submit(PLAYED)
    executor.submit(replace(PLAYED, number=5))
    pids = executor.pids
    os.kill(pids[0], signal.SIGSTOP)
    executor.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_job_trains_to_its_end_and_repeats_itself(trainer: LocalProcesses, job: Job) -> None:
    outcome = _drive(trainer, job, 99).outcome
    assert (outcome.number, outcome.attempt, outcome.state) == (4, 1, "complete")
    assert [epoch.epoch for epoch in outcome.epochs] == [1, 2, 3]
    assert outcome.score == outcome.epochs[-1].val_accuracy
    again = _drive(trainer, job, 99).outcome
    assert [epoch.train_loss for epoch in again.epochs] == [epoch.train_loss for epoch in outcome.epochs]


def test_a_training_that_raises_is_a_failed_job_with_its_reason(trainer: LocalProcesses, job: Job) -> None:
    spec = replace(SPEC, classes=1).to_json()
    outcome = _drive(trainer, replace(job, spec=spec), 99).outcome
    assert outcome.state == "failed"
    assert outcome.reason
    assert "\n" not in outcome.reason


@pytest.mark.slow
def test_a_job_that_is_kept_goes_on_at_its_checkpoint_and_meets_the_test_images(
    trainer: LocalProcesses, job: Job, tmp_path: Path
) -> None:
    """As the winner does: on all training images, stopped after an epoch, damaged, and gone on with."""
    folder = tmp_path / "best"
    kept = replace(
        job,
        data=replace(job.data, images=None, whole=True),
        keep=Keep(str(folder), "one", "python -m search", "drawn, NOT CIFAR-10"),
    )
    assert _drive(trainer, kept, 2).outcome.state == "pruned"
    assert not (folder / "run.json").exists()
    newest = folder / "last.pt"
    newest.write_bytes(newest.read_bytes()[:1_000])
    trainer.submit(kept)
    notice = _next(trainer)
    assert isinstance(notice, Notice)
    assert "last.pt" in notice.text
    while not isinstance(event := _next(trainer), JobDone):
        assert isinstance(event, EpochDone)
        trainer.answer(event.job, go_on=True)
    assert (event.outcome.state, event.outcome.reason) == ("complete", None)
    assert [epoch.epoch for epoch in event.outcome.epochs] == [1, 2, 3]
    record = RunRecord.read(folder / "run.json")
    assert (record.dataset.train_images, record.dataset.validation_images) == (180, 0)
    assert record.dataset.notice == "drawn, NOT CIFAR-10"
    assert len(record.epochs) == 3
    assert record.test_accuracy is not None
    assert (folder / "best.safetensors").is_file()
    assert (folder / "predictions.npz").is_file()
