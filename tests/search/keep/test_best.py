"""The winner's folder: a kill at every step of its replacement leaves one whole winner."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.keep.best import Best

ROOT = Path(__file__).resolve().parents[3]
OLD, NEW = {"name": "old"}, {"name": "new"}

KILLED = """
import os, sys
from pathlib import Path
from search.keep import best
run, last, exchanges = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "exchange"
if not exchanges:
    best._exchange = lambda one, other: False
steps = 0
def count(event, details):
    # Every system call that changes a folder raises one of these events just before it happens.
    global steps
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "ctypes.call_function", "ctypes.dlsym"):
        steps += 1
        if steps > last:
            os._exit(9)
sys.addaudithook(count)
winner = best.Best(run)
assert winner.begin({"name": "new"}) is None
"""
"""Swaps a winner that is built, and ends as by SIGKILL before the step of the given number."""


def _write(folder: Path, spec: dict[str, str], *, whole: bool = True) -> Path:
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "best.safetensors").write_text(spec["name"])
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "model.cpython-311.pyc").write_text("")
    if whole:
        (folder / "run.json").write_text(json.dumps(spec))
    return folder


def _name(folder: Path) -> str:
    """Return whose winner the folder holds, whole."""
    names = {json.loads((folder / file).read_text())["name"] for file in ("spec.json", "run.json")}
    names.add((folder / "best.safetensors").read_text())
    (name,) = names
    return name


@pytest.mark.parametrize("way", ["exchange", "two renames"])
def test_a_kill_at_every_step_of_the_swap_leaves_one_whole_winner(tmp_path: Path, way: str) -> None:
    if way == "exchange" and sys.platform != "linux":
        pytest.skip("two folders are exchanged in one step on Linux alone")
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    for step in range(40):
        run = tmp_path / str(step)
        winner = Best(run)
        _write(winner.path, OLD)
        _write(winner.coming, NEW)
        command = [sys.executable, "-c", KILLED, str(run), str(step), way]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 9), done.stderr
        if way == "exchange":  # no reader ever meets a search without its winner
            assert _name(winner.path) in ("old", "new")
        winner.settle()
        assert _name(winner.path) in ("old", "new")
        assert winner.begin(NEW) is None
        assert _name(winner.path) == "new"
        assert sorted(path.name for path in run.iterdir()) == ["best"]
        if done.returncode == 0:
            assert step >= 4, "the steps were not counted"
            return
    raise AssertionError("the swap did not come to its end")


def test_another_winner_is_built_beside_the_one_that_is_there(tmp_path: Path) -> None:
    winner = Best(tmp_path)
    _write(winner.path, OLD)
    building = winner.begin(NEW)
    assert building == winner.coming
    assert list(building.iterdir()) == []
    assert _name(winner.path) == "old"
    (building / "half").touch()
    assert winner.begin(OLD) is None  # the next session chose the former one after all
    assert not building.exists()
    assert _name(winner.path) == "old"


def test_a_winner_that_was_being_trained_is_gone_on_with_if_it_is_the_same(tmp_path: Path) -> None:
    winner = Best(tmp_path)
    _write(winner.coming, NEW, whole=False)
    assert winner.begin(NEW) == winner.coming
    assert (winner.coming / "best.safetensors").is_file()
    assert winner.begin(OLD) == winner.coming
    assert list(winner.coming.iterdir()) == []


def test_a_winner_that_an_earlier_version_left_half_trained_is_gone_on_with(tmp_path: Path) -> None:
    winner = Best(tmp_path)
    _write(winner.path, NEW, whole=False)
    (winner.path / "last.pt").touch()
    winner.settle()
    assert not winner.path.exists()
    assert winner.begin(NEW) == winner.coming
    assert (winner.coming / "last.pt").is_file()


def test_a_first_winner_that_was_built_but_not_yet_named_is_not_lost(tmp_path: Path) -> None:
    winner = Best(tmp_path)
    _write(winner.coming, OLD)
    assert winner.begin(NEW) == winner.coming
    assert _name(winner.path) == "old"


def test_a_link_to_a_folder_elsewhere_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere = _write(tmp_path / "elsewhere", OLD)
    winner = Best(tmp_path / "run")
    _write(winner.coming, NEW)
    winner.path.symlink_to(elsewhere)
    assert winner.begin(NEW) is None
    assert _name(winner.path) == "new"
    assert _name(elsewhere) == "old"
