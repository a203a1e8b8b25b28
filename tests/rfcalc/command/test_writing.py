"""Where the report goes: full, closed and narrow streams, pipes, links and devices; whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rfcalc.command.writing import write_bytes_whole, write_whole
from rfcalc.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]
Write = Callable[..., str]
NET = "from torch import nn\nmodel = nn.Conv2d(3, 4, 3)\n"

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")


def shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, $RF being the command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env}
    environment["RF"] = f"{sys.executable} -m rfcalc"
    return subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, text=True, check=False, timeout=300
    )


class TestStdout:
    @needs_full
    @pytest.mark.parametrize("what", ["--help", "--version"])
    def test_a_full_one_is_one_line(self, what: str) -> None:
        ran = shell(f"$RF {what} > /dev/full")
        assert ran.returncode == 2
        assert ran.stderr == (
            "rfcalc: error: cannot write to stdout: No space left on device; name a file with --output\n"
        )

    @needs_full
    def test_a_full_one_is_one_line_after_the_analysis_too(self, write: Write) -> None:
        ran = shell(f"$RF {write(NET)} --no-budget > /dev/full")
        assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
        assert "cannot write to stdout: No space left on device" in ran.stderr

    def test_none_at_all_is_one_line(self) -> None:
        ran = shell("$RF --version >&-")
        assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
        assert "--output" in ran.stderr

    def test_ascii_is_no_traceback(self, write: Write, tmp_path: Path) -> None:
        named = tmp_path / "réseau.py"
        named.write_text(NET)
        ran = shell(f"$RF --help && $RF '{named}' --no-budget && $RF 'no\u00e9.py'", PYTHONIOENCODING="ascii")
        assert ran.returncode == 2
        assert "Traceback" not in ran.stderr
        assert "no\\xe9.py: no such file" in ran.stderr

    def test_code_that_closes_and_threads_that_stay_do_no_harm(self, write: Write) -> None:
        text = NET + (
            "import atexit, os, sys, threading, time\n"
            "threading.Thread(target=time.sleep, args=(600,)).start()\n"
            "atexit.register(print, 'at the end')\n"
            "sys.__stdout__.close()\nsys.stderr.close()\nos.close(2)\n"
        )
        ran = shell(f"$RF {write(text)} --no-budget --format json")
        assert ran.returncode == 0
        assert json.loads(ran.stdout)["params"] == 112

    def test_code_that_closes_stderr_and_fails_is_one_line_still(self, write: Write) -> None:
        ran = shell(f"$RF {write('import sys, os; sys.stderr.close(); os.close(2); raise ValueError(1)')}")
        assert ran.returncode == 2
        assert ran.stderr.startswith("rfcalc: error: ")
        assert "raises while it loads" in ran.stderr

    def test_exit_handlers_print_to_stderr(self, write: Write) -> None:
        ran = shell(
            f"$RF {write(NET + 'import atexit; atexit.register(print, 9)')} --no-budget --format json"
        )
        assert json.loads(ran.stdout)["params"] == 112
        assert ran.stderr.strip() == "9"


class TestMemory:
    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells what is taken")
    def test_a_model_that_takes_too_much_is_one_line(self, write: Write) -> None:
        ran = shell(f"$RF {write(NET + 'x = bytearray(3 << 30)')} --no-budget --max-memory 1G")
        assert ran.returncode == 2
        assert ran.stderr.count("\n") == 1
        assert "needs more memory than --max-memory leaves (1,073,741,824 bytes); raise it" in ran.stderr
        weights = "import torch\nmodel = nn.Linear(1 << 15, 1 << 15)\n"
        ran = shell(f"$RF {write(NET + weights)} --no-budget --max-memory 1G")
        assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
        assert "needs more memory than --max-memory leaves" in ran.stderr
        ran = shell(f"$RF {write(NET)} --no-budget --max-memory 1.5GiB")
        assert ran.returncode == 0


class TestFiles:
    def test_a_new_file_and_one_that_is_replaced_keeps_its_rights(self, tmp_path: Path) -> None:
        path = tmp_path / "rf.txt"
        write_whole(path, "new")
        path.chmod(0o640)
        write_whole(path, "newer")
        assert path.read_text() == "newer"
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert [found.name for found in tmp_path.iterdir()] == ["rf.txt"]

    def test_a_link_stays_and_its_file_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "real" / "rf.txt").write_text("old")
        for name, aim in (("link", "real/rf.txt"), ("dangling", "real/new.txt"), ("twice", "link")):
            (tmp_path / name).symlink_to(aim)
            write_whole(tmp_path / name, name)
            assert (tmp_path / name).is_symlink()
            assert (tmp_path / aim).read_text() == name

    def test_a_pipe_is_written_into(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        got: list[str] = []
        reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
        reader.start()
        write_whole(pipe, "x" * 200_000)
        reader.join(timeout=30)
        assert got == ["x" * 200_000]
        assert stat.S_ISFIFO(pipe.stat().st_mode)

    @needs_full
    def test_devices_are_written_into_and_stay(self, tmp_path: Path) -> None:
        write_whole(Path("/dev/null"), "text")
        with pytest.raises(UsageError, match="cannot write /dev/full: No space left on device"):
            write_whole(Path("/dev/full"), "text")
        link = tmp_path / "link"
        link.symlink_to("/dev/full")
        with pytest.raises(UsageError, match="No space left"):
            write_whole(link, "text")
        for device in ("/dev/null", "/dev/full"):
            assert stat.S_ISCHR(Path(device).stat().st_mode)

    @pytest.mark.skipif(not Path("/dev/fd").exists(), reason="the system has no /dev/fd")
    def test_a_log_behind_a_descriptor_keeps_what_it_has(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        log.write_text("old\n")
        with log.open("a") as file:
            before = log.stat().st_ino
            write_whole(Path(f"/dev/fd/{file.fileno()}"), "new\n")
        assert log.read_text() == "old\nnew\n"
        assert log.stat().st_ino == before

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("none/rf.txt", "there is no folder .*none; make it first"),
            (".", "it is a folder; name a file in it"),
            ("a\0b", "null"),
            ("n" * 300, "File name too long"),
        ],
    )
    def test_what_cannot_be_written_is_named(self, name: str, message: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=f"cannot write .*{message}"):
            write_whole(tmp_path / name, "text")
        assert list(tmp_path.iterdir()) == []

    def test_what_fails_half_way_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "rf.txt"
        path.write_text("old")

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(UsageError, match="No space left"):
            write_bytes_whole(path, b"new")
        assert path.read_text() == "old"
        assert [found.name for found in tmp_path.iterdir()] == ["rf.txt"]

    def test_file_and_folder_reach_the_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        kinds = []
        monkeypatch.setattr(os, "fsync", lambda number: kinds.append(stat.S_IFMT(os.fstat(number).st_mode)))
        write_whole(tmp_path / "rf.txt", "text")
        assert kinds == [stat.S_IFREG, stat.S_IFDIR]

    def test_a_name_that_is_no_utf8_is_no_error(self, tmp_path: Path) -> None:
        write_whole(tmp_path / "rf.txt", "a\udce9b")
        assert (tmp_path / "rf.txt").read_text() == "a?b"
