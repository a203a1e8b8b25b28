"""Paths that mean the same on every machine of a cluster."""

from dataclasses import replace
from pathlib import Path

from search.execute.job import Job
from training.data.registry import NAMED


def absolute(job: Job) -> Job:
    """Return `job` with paths that mean the same on any machine that sees these files."""

    def full(path: str) -> str:
        return str(Path(path).absolute())

    return replace(
        job,
        data=replace(job.data, data=absolute_data(job.data.data), cache=full(job.data.cache)),
        keep=None if job.keep is None else replace(job.keep, folder=full(job.keep.folder)),
        checkpoint=None if job.checkpoint is None else full(job.checkpoint),
    )


def absolute_data(data: str) -> str:
    """Return what `--data` names with a full path; the name of a named data set stays."""
    return data if data in NAMED else str(Path(data).absolute())
