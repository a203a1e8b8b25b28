"""Where a search runs its trainings: the settings, and a cluster that is reached before it begins."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from records.flags import word_of
from records.text import plural, unknown
from search.errors import SearchError
from search.execute.executors import DEFAULT, EXECUTORS, cluster, clusters
from search.execute.paths import absolute_data
from search.execute.protocol import Executor, Place
from search.execute.worker import Share, Work
from search.options import Options
from search.propose.around import AROUND
from search.settings import Settings
from training.data.registry import Dataset

_FLAGS = ("ray_address", "cpus_per_job", "gpus_per_job")


def placement(options: Options, device: str, threads: int | None, kept: Settings | None) -> dict[str, Any]:
    """Return the settings that say where trainings run.

    Args:
        options: What was asked for.
        device: "cpu", "cuda" or "mps".
        threads: CPU threads of a training; None: as many as a job has CPUs.
        kept: Settings of the search that is gone on with.

    Raises:
        SearchError: An executor that does not exist, or a flag of another one.
    """
    name = options.executor or (DEFAULT if kept is None else kept.executor)
    if name not in EXECUTORS:
        raise SearchError(f"--executor {name}: {unknown(name, EXECUTORS)}")
    if cluster(name) is None:
        for flag in _FLAGS:
            if (value := getattr(options, flag)) is not None:
                raise SearchError(
                    f"{word_of(Options, flag)} {value}: only with --executor {' or '.join(clusters())}"
                )
        return {"executor": name, "ray_address": None, "cpus_per_job": None, "gpus_per_job": 0.0}
    if kept is not None and cluster(kept.executor):
        address, cpus, gpus = kept.ray_address, kept.cpus_per_job, kept.gpus_per_job
    else:
        address, cpus, gpus = None, None, 1.0 if device == "cuda" else 0.0
    return {
        "executor": name,
        "ray_address": options.ray_address or address or "auto",
        "cpus_per_job": options.cpus_per_job or cpus or threads or 1,
        "gpus_per_job": options.gpus_per_job or gpus,
    }


def usual_jobs(space: str, device: str, generation: int, executor: str) -> int:
    """Return how many trainings run at a time where the user does not choose.

    By moves a whole generation may: on a cluster it is lowered to what the nodes have room for, on a CPU to
    its cores. Samplers that learn from every trial get one at a time, which repeats itself from its seed.
    """
    if space != AROUND:
        return 1
    if cluster(executor):
        return generation
    return min(Share(device, 1).threads, generation) if device == "cpu" else 1


def moves(options: Options, kept: Settings) -> bool:
    """Return whether a search goes on with another executor than the one that it has run on."""
    return options.executor not in (None, kept.executor)


def reached(
    settings: Settings, dataset: Dataset, work: Work, *, exact: bool, console: Console
) -> tuple[Settings, Executor | None]:
    """Reach the cluster of a search; return its settings and the executor, None where there is no cluster.

    Args:
        settings: Of the search; without `exact` its jobs are lowered to what the cluster has room for.
        dataset: Its images, which every node must see.
        work: What a worker does with a job.
        exact: Whether the user chose the number of jobs.
        console: Shown to the user.

    Raises:
        SearchError: The cluster cannot be used; one line.
    """
    if (entry := cluster(settings.executor)) is None:
        return settings, None
    # The decoded images go by their content: a node that sees this file sees the same ones.
    seen = [str((Path(settings.cache) / dataset.fingerprint / "facts.json").absolute())]
    if (source := absolute_data(settings.data)) != settings.data:
        seen.append(source)
    address, cpus = settings.ray_address or "auto", settings.cpus_per_job or 1
    place = Place(address, cpus, settings.gpus_per_job, tuple(seen))
    executor = entry.open(settings.jobs, settings.device, work, place, exact=exact)
    found, jobs = executor.found, executor.jobs
    has = f"{plural(found.nodes, 'node')}, {found.cpus:g} CPUs, {found.gpus:g} GPUs"
    console.print(
        f"{settings.executor:<9} {has} at {address}: {plural(jobs, 'job')} at a time"
        + (f", of which it has room for {found.room}; the others wait" if found.room < jobs else ""),
        highlight=False,
        markup=False,
    )
    return replace(settings, jobs=jobs), executor
