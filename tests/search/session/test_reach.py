"""Where a search runs its trainings, as flags and stored settings say."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from search.errors import SearchError
from search.execute.executors import EXECUTORS, Cluster
from search.options import Options
from search.session import reach
from search.session.reach import placement, reached, usual_jobs
from search.session.resumed import resumed
from search.settings import Settings

LOCAL = {"executor": "local", "ray_address": None, "cpus_per_job": None, "gpus_per_job": 0.0}


def test_without_flags_trainings_run_on_this_machine() -> None:
    assert placement(Options(), "cpu", 1, None) == LOCAL


@pytest.mark.parametrize(
    ("device", "threads", "cpus", "gpus"), [("cpu", 3, 3, 0.0), ("cpu", None, 1, 0.0), ("cuda", None, 1, 1.0)]
)
def test_a_job_takes_the_cpus_of_its_threads_and_a_whole_gpu(
    device: str, threads: int | None, cpus: int, gpus: float
) -> None:
    found = placement(Options(executor="ray"), device, threads, None)
    assert found == {"executor": "ray", "ray_address": "auto", "cpus_per_job": cpus, "gpus_per_job": gpus}


def test_a_resumed_search_stays_on_its_cluster_or_moves(settings: Settings) -> None:
    kept = replace(settings, executor="ray", ray_address="h:1", cpus_per_job=2, gpus_per_job=0.5)
    assert placement(Options(), "cuda", 1, kept) == {
        "executor": "ray", "ray_address": "h:1", "cpus_per_job": 2, "gpus_per_job": 0.5,
    }  # fmt: skip
    assert placement(Options(ray_address="g:2"), "cuda", 1, kept)["ray_address"] == "g:2"
    assert placement(Options(executor="local"), "cuda", 1, kept) == LOCAL
    moved = placement(Options(executor="ray", cpus_per_job=4), "cpu", 1, settings)
    assert (moved["ray_address"], moved["cpus_per_job"]) == ("auto", 4)


@pytest.mark.parametrize(
    ("space", "device", "executor", "jobs"),
    [
        ("around", "cpu", "local", 2),
        ("around", "cuda", "local", 1),
        ("around", "cuda", "ray", 48),
        ("widths", "cpu", "ray", 1),
    ],
)
def test_how_many_train_at_a_time_by_default(
    space: str, device: str, executor: str, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "Share", lambda device, jobs: SimpleNamespace(threads=2))
    assert usual_jobs(space, device, 48, executor) == jobs


def test_a_search_that_leaves_its_cluster_leaves_the_number_of_its_jobs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "Share", lambda device, jobs: SimpleNamespace(threads=2))
    kept = replace(settings, executor="ray", jobs=8, space="around", generation=8, device="cpu")
    previous: Any = SimpleNamespace(settings=kept.to_json(), name="s")
    assert resumed(previous, Options()).jobs == 8
    assert resumed(previous, Options(executor="local")).jobs == 2
    assert resumed(previous, Options(executor="local", jobs=3)).jobs == 3


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({"ray_address": "h:1"}, "--ray-address h:1: only with --executor ray"),
        ({"gpus_per_job": 0.5}, "--gpus-per-job 0.5: only with --executor ray"),
        ({"executor": "rai"}, "--executor rai: unknown; did you mean ray?"),
    ],
)
def test_flags_of_another_executor_are_refused(flags: dict[str, Any], line: str) -> None:
    with pytest.raises(SearchError) as caught:
        placement(Options(**flags), "cpu", 1, None)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize("name", ["ray", "mesh"])
def test_what_the_cluster_has_room_for_becomes_the_number_of_jobs(
    name: str, settings: Settings, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any cluster: one that is not in the repository is added by its entry alone."""
    from io import StringIO

    from rich.console import Console

    from search.execute.ray.messages import Connected
    from search.execute.worker import run

    asked: list[Any] = []

    def cluster(jobs: int, device: str, work: Any, place: Any, *, exact: bool) -> Any:
        asked.append((jobs, place.cpus, place.paths, exact))
        return SimpleNamespace(found=Connected(3, 12.0, 0.0, 6), jobs=6)

    monkeypatch.setitem(EXECUTORS, name, Cluster(lambda address: None, cluster))
    text = StringIO()
    on_ray = replace(settings, executor=name, ray_address="h:1", cpus_per_job=2, jobs=8, cache=str(tmp_path))
    data: Any = SimpleNamespace(fingerprint="shapes-1")
    found, executor = reached(on_ray, data, run, exact=False, console=Console(file=text, width=200))
    assert (found.jobs, executor.jobs) == (6, 6)  # type: ignore[union-attr]  # the stand-in has them
    jobs, cpus, paths, exact = asked[0]
    assert (jobs, cpus, exact) == (8, 2, False)
    assert str(tmp_path / "shapes-1" / "facts.json") in paths
    assert f"{name:<9} 3 nodes, 12 CPUs, 0 GPUs at h:1: 6 jobs at a time" in text.getvalue()
    assert usual_jobs("around", "cuda", 48, name) == 48
    assert placement(Options(executor=name), "cuda", 1, None)["gpus_per_job"] == 1.0
    assert reached(settings, data, run, exact=True, console=Console(quiet=True)) == (settings, None)
