"""The lock of a run folder: one process at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from records import lock
from records.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


class TakenError(UserError):
    pass


def _hold(path: Path) -> "subprocess.Popen[str]":
    """Another process that holds the lock until its stdin is closed."""
    code = (
        "import pathlib, sys\n"
        "from records.errors import UserError\n"
        "from records.lock import locked\n"
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


def test_one_process_holds_a_lock_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert not lock.is_locked(path)
    process = _hold(path)
    assert lock.is_locked(path)
    with pytest.raises(TakenError, match="somebody else"), lock.locked(path, TakenError("somebody else")):
        pass
    process.kill()
    process.communicate()
    assert not lock.is_locked(path)
    with lock.locked(path, TakenError("somebody else")):
        assert path.is_file()
    with lock.locked(path, TakenError("somebody else")):
        pass


def test_a_lock_file_is_never_emptied(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text("mine")
    with lock.locked(path, TakenError()):
        assert lock.is_locked(path)
    assert path.read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system follows every link")
def test_a_lock_file_is_no_link(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    for target in (tmp_path / "new", tmp_path / "mine"):
        (tmp_path / "mine").write_text("mine")
        path.symlink_to(target)
        with pytest.raises(UserError, match="it is a link; remove it"), lock.locked(path, TakenError()):
            pass
        assert not lock.is_locked(path)
        path.unlink()
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_lock_file_is_a_plain_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    (tmp_path / "folder").mkdir()
    for name in (".lock", "folder"):
        with pytest.raises(UserError, match="cannot be locked"), lock.locked(tmp_path / name, TakenError()):
            pass
        assert not lock.is_locked(tmp_path / name)
