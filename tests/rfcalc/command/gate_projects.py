"""Projects of several networks, one of them under git, for the tests of the gate."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(3, {width}, 3)
        self.c2 = nn.Conv2d({width}, 4, {kernel})

    def forward(self, x):
        return self.c2(self.c1(x).relu())
"""
# Conv 3x3 from 3 to 8 channels: 224 parameters, then 3x3 to 4: 292.
SMALL = NET.format(width=8, kernel=3)
WIDE = NET.format(width=16, kernel=3)


def git(folder: Path, *words: str) -> None:
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *settings, *words], check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two listed networks; a third has a file of its own."""
    (tmp_path / "small.py").write_text(SMALL)
    (tmp_path / "wide.py").write_text(WIDE)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.rfcalc]\nmax-params = 600\n\n[[tool.rfcalc.network]]\ntarget = "small.py"\n\n'
        '[[tool.rfcalc.network]]\nname = "the wide one"\ntarget = "wide.py:Net"\ninput = "3x16x16"\n'
        "max-params = 1_100\nmin-receptive-field = 5\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def repository(project: Path) -> Path:
    """The project with one commit, tagged "before"."""
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "first")
    git(project, "tag", "before")
    return project
