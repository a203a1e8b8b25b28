"""Paths that mean the same on every machine of a cluster."""

from dataclasses import replace
from pathlib import Path

import pytest

from search.execute.job import DataRequest, Job, Keep
from search.execute.paths import absolute

JOB = Job(4, 1, {}, {"epochs": 3}, 7, DataRequest("shapes", "/nowhere", None, None, 0))


def test_paths_travel_with_the_folder_that_they_are_relative_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = DataRequest("images.zip", "data/cache", None, None, 0)
    sent = absolute(replace(JOB, data=data, keep=Keep("runs/best", "n", "c"), checkpoint="runs/3.pt"))
    assert sent.data.data == str(tmp_path / "images.zip")
    assert sent.data.cache == str(tmp_path / "data/cache")
    assert sent.keep is not None
    assert sent.keep.folder == str(tmp_path / "runs/best")
    assert sent.checkpoint == str(tmp_path / "runs/3.pt")
    assert absolute(JOB) == JOB  # the name of a data set is no path
