"""The node's side of the Ray executor, without Ray: the berth, and what travels there."""

from dataclasses import replace
from pathlib import Path

import pytest

from records.run import EpochRecord
from search.execute import worker
from search.execute.job import DataRequest, Job, Keep, Outcome
from search.execute.ray import berth as berths
from search.execute.ray.berth import Berth
from search.execute.ray.shipped import PACKAGES, stage
from search.execute.worker import Message, Share
from tests.search.execute.works import played

JOB = Job(4, 1, {}, {"epochs": 3}, 7, DataRequest("shapes", "nowhere", None, None, 0))


@pytest.fixture(scope="module")
def berth() -> Berth:
    return Berth(Share("cpu", 1, 1), played, 60.0)  # its worker ends with this process


def _next(berth: Berth) -> Message:
    for _ in range(60):
        if messages := [message for message in berth.hear() if message is not None]:
            (message,) = messages
            return message
    raise TimeoutError


def test_the_worker_of_a_berth_reports_waits_and_ends_as_a_local_one(berth: Berth) -> None:
    berth.send(JOB)
    first = _next(berth)
    assert isinstance(first, EpochRecord)
    berth.send(True)
    assert isinstance(_next(berth), EpochRecord)
    berth.send(False)
    outcome = _next(berth)
    assert isinstance(outcome, Outcome)
    assert (outcome.state, len(outcome.epochs)) == ("pruned", 2)


def test_a_berth_without_news_gives_a_sign_of_life(berth: Berth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(berths, "BEAT", 0.05)
    assert berth.hear() == []


@pytest.mark.parametrize("kept", [True, False], ids=["run folder", "checkpoint"])
def test_a_run_folder_that_the_node_does_not_see_fails_the_job_with_both_names(
    berth: Berth, tmp_path: Path, kept: bool
) -> None:
    folder = tmp_path / "missing" / "run"
    job = replace(JOB, keep=Keep(str(folder / "best"), "run", "c")) if kept else JOB
    berth.send(job if kept else replace(JOB, checkpoint=str(folder / "half" / "4.pt")))
    outcome = _next(berth)
    assert isinstance(outcome, Outcome)
    assert outcome.state == "failed"
    assert outcome.reason is not None
    assert f"does not see {folder}" in outcome.reason


def test_a_node_says_what_it_lacks_before_it_gets_a_job(
    berth: Berth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert berth.greet([str(tmp_path)]).problem is None
    problem = berth.greet([str(tmp_path / "cache")]).problem
    assert problem is not None
    assert f"does not see {tmp_path / 'cache'}; --data, --cache and --out must lie" in problem
    monkeypatch.setattr(berths, "NEEDED", ("torch", "no_such_package"))
    problem = berth.greet([]).problem
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
