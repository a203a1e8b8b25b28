import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from records.files import write_json, write_text, write_with

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_appears_with_its_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "größer als\n")
    assert path.read_text(encoding="utf-8") == "größer als\n"
    assert [each.name for each in path.parent.iterdir()] == ["a.txt"]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def break_off(temporary: Path) -> None:
        temporary.write_text("new")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_with(path, break_off)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    # The limit of a file's size stands in for the disk's; in a child, because it cannot be raised again.
    code = (
        "import pathlib, resource, signal, sys\n"
        "from records.files import write_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_text(pathlib.Path(sys.argv[1]), 'x' * 5000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "OSError: [Errno 27] File too large" in done.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_have_the_rights_of_ordinary_files(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    write_text(tmp_path / "ours", "")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_json_refuses_what_json_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []
    write_json(tmp_path / "a.json", {"loss": 1.5})
    assert json.loads((tmp_path / "a.json").read_text()) == {"loss": 1.5}
