"""benchmarks/faults_before.py: every numbered point has a probe, which tells a fault from its mending."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from benchmarks.fault_probes.common import PROBES
from benchmarks.faults_before import ROOT, main, reproduced

FLOORS = "5 floors of dependencies"


def test_every_numbered_point_has_a_probe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    points = {int(line.split()[0]) for line in capsys.readouterr().out.splitlines()}
    assert points == set(range(1, 26))


def test_a_probe_runs_in_another_checkout(tmp_path: Path) -> None:
    importlib.import_module("benchmarks.fault_probes.content")
    assert reproduced(FLOORS, PROBES[FLOORS][0], ROOT, sys.executable)[0] == "holds"
    project = '[project]\ndependencies = ["rich>=13"]\n[project.optional-dependencies]\na = ["pillow>=10"]\n'
    (tmp_path / "pyproject.toml").write_text(project)
    found = reproduced(FLOORS, PROBES[FLOORS][0], tmp_path, sys.executable)
    assert found == ("fails", "pillow>=10, rich>=13")


def test_what_cannot_run_is_skipped_with_the_reason_and_what_breaks_fails(tmp_path: Path) -> None:
    importlib.import_module("benchmarks.fault_probes.content")
    assert reproduced("2 leftovers", "content", tmp_path, sys.executable) == ("fails", "nothing sweeps")
    lock = "2 lock through a link"
    outcome, reason = reproduced(lock, "content", tmp_path, sys.executable)
    assert outcome == "skipped"
    assert reason.startswith("neither records.lock:locked nor ")
    assert reproduced(FLOORS, "content", tmp_path, sys.executable)[0] == "fails"  # no pyproject.toml here
