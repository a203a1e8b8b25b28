"""Where runs are kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from records import layout
from records.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


class TakenError(UserError):
    pass


def _hold(path: Path) -> "subprocess.Popen[str]":
    """Another process that holds the lock until its stdin is closed."""
    code = (
        "import pathlib, sys\n"
        "from records.errors import UserError\n"
        "from records.layout import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), UserError('taken')):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_resume_without_a_name_takes_the_newest_run(tmp_path: Path) -> None:
    for age, name in enumerate(("newest", "older", "oldest")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
        os.utime(tmp_path / name / "run.json", (1e9 - age, 1e9 - age))
    assert layout.locate(tmp_path, None, True, "run.json") == (tmp_path / "newest", True)
    assert layout.locate(tmp_path, "older", True, "run.json") == (tmp_path / "older", True)
    assert layout.locate(tmp_path, "older", True, "search.json") == (tmp_path / "older", False)
    assert layout.locate(tmp_path, "fresh", False, "run.json") == (tmp_path / "fresh", False)
    assert layout.newest(tmp_path, "search.json") is None
    with pytest.raises(UserError, match=r"older exists; continue it with --resume, or choose another --name"):
        layout.locate(tmp_path, "older", False, "run.json")


def test_a_new_run_without_a_name_has_its_date(tmp_path: Path) -> None:
    folder, continues = layout.locate(tmp_path, None, True, "run.json")
    assert not continues
    assert folder.name.replace("-", "").isdecimal()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--out .*file: cannot be written \(Not a directory\)"):
        layout.make(tmp_path / "file" / "run")
    assert layout.make(tmp_path / "run")
    assert not layout.make(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_a_trained_network_of_a_search_is_its_winner(tmp_path: Path) -> None:
    assert layout.network_folder(tmp_path) == tmp_path
    (tmp_path / "search.json").touch()
    assert layout.network_folder(tmp_path) == tmp_path / "best"
    assert layout.network_folder(tmp_path / "best.safetensors") == tmp_path / "best.safetensors"


def test_one_process_holds_a_lock_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert not layout.is_locked(path)
    process = _hold(path)
    assert layout.is_locked(path)
    with pytest.raises(TakenError, match="somebody else"), layout.locked(path, TakenError("somebody else")):
        pass
    process.kill()
    process.communicate()
    assert not layout.is_locked(path)
    with layout.locked(path, TakenError("somebody else")):
        assert path.is_file()
    with layout.locked(path, TakenError("somebody else")):
        pass


def test_a_lock_file_is_never_emptied(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text("mine")
    with layout.locked(path, TakenError()):
        assert layout.is_locked(path)
    assert path.read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system follows every link")
def test_a_lock_file_is_no_link(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    for target in (tmp_path / "new", tmp_path / "mine"):
        (tmp_path / "mine").write_text("mine")
        path.symlink_to(target)
        with pytest.raises(UserError, match="it is a link; remove it"), layout.locked(path, TakenError()):
            pass
        assert not layout.is_locked(path)
        path.unlink()
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_lock_file_is_a_plain_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    (tmp_path / "folder").mkdir()
    for name in (".lock", "folder"):
        with pytest.raises(UserError, match="cannot be locked"), layout.locked(tmp_path / name, TakenError()):
            pass
        assert not layout.is_locked(tmp_path / name)
