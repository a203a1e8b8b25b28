"""The node's side of the Ray executor, without Ray: the actor, and what travels there."""

from dataclasses import replace
from pathlib import Path

import pytest

from records.run import EpochRecord
from search.execute import worker
from search.execute.job import DataRequest, Job, Keep, Outcome
from search.execute.ray import actor as actors
from search.execute.ray.actor import WorkerActor
from search.execute.ray.shipped import PACKAGES, stage
from search.execute.worker import Message, Share
from tests.search.execute.works import played

JOB = Job(4, 1, {}, {"epochs": 3}, 7, DataRequest("shapes", "nowhere", None, None, 0))


@pytest.fixture(scope="module")
def actor() -> WorkerActor:
    return WorkerActor(Share("cpu", 1, 1), played, 60.0)  # its worker ends with this process


def _next(actor: WorkerActor) -> Message:
    for _ in range(60):
        if messages := [message for message in actor.hear() if message is not None]:
            (message,) = messages
            return message
    raise TimeoutError


def test_the_worker_of_an_actor_reports_waits_and_ends_as_a_local_one(actor: WorkerActor) -> None:
    actor.send(JOB)
    first = _next(actor)
    assert isinstance(first, EpochRecord)
    actor.send(True)
    assert isinstance(_next(actor), EpochRecord)
    actor.send(False)
    outcome = _next(actor)
    assert isinstance(outcome, Outcome)
    assert (outcome.state, len(outcome.epochs)) == ("pruned", 2)


def test_an_actor_without_news_gives_a_sign_of_life(
    actor: WorkerActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors, "BEAT", 0.05)
    assert actor.hear() == []


@pytest.mark.parametrize("kept", [True, False], ids=["run folder", "checkpoint"])
def test_a_run_folder_that_the_node_does_not_see_fails_the_job_with_both_names(
    actor: WorkerActor, tmp_path: Path, kept: bool
) -> None:
    folder = tmp_path / "missing" / "run"
    job = replace(JOB, keep=Keep(str(folder / "best"), "run", "c")) if kept else JOB
    actor.send(job if kept else replace(JOB, checkpoint=str(folder / "half" / "4.pt")))
    outcome = _next(actor)
    assert isinstance(outcome, Outcome)
    assert outcome.state == "failed"
    assert outcome.reason is not None
    assert f"does not see {folder}" in outcome.reason


def test_a_node_says_what_it_lacks_before_it_gets_a_job(
    actor: WorkerActor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert actor.greet([str(tmp_path)]).problem is None
    problem = actor.greet([str(tmp_path / "cache")]).problem
    assert problem is not None
    assert f"does not see {tmp_path / 'cache'}; --data, --cache and --out must lie" in problem
    monkeypatch.setattr(actors, "NEEDED", ("torch", "no_such_package"))
    problem = actor.greet([]).problem
    assert problem is not None
    assert "lacks no_such_package; install there" in problem


def test_what_travels_is_the_source_of_a_training_and_small(tmp_path: Path) -> None:
    stage(worker.run, tmp_path / "plain")
    assert sorted(path.name for path in (tmp_path / "plain").iterdir()) == sorted(PACKAGES)
    files = [path for path in (tmp_path / "plain").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10e6
    assert not [path for path in files if path.suffix in (".pyc", ".pt", ".npy")]
    stage(played, tmp_path / "test")
    assert (tmp_path / "test" / "tests" / "search" / "execute" / "works.py").is_file()
