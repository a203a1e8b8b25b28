import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from records.files import sweep, whole, write_bytes, write_json, write_text, write_with

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


def test_file_and_folder_reach_the_disk_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes before the name, so that a power loss never leaves a name without content."""
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def seen_fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            done.append("folder" if os.path.sameopenfile(descriptor, opened) else "another folder")
        else:
            done.append(f"{status.st_size} bytes")
        sync(descriptor)

    def seen_replace(source: Path, target: Path) -> Path:
        done.append("name")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "replace", seen_replace)
    opened = os.open(tmp_path, os.O_RDONLY)
    try:
        write_text(tmp_path / "a.txt", "seven b")
    finally:
        os.close(opened)
    assert done == ["7 bytes", "name", "folder"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    content: list[bytes] = []
    reader = threading.Thread(target=lambda: content.append(pipe.read_bytes()))
    reader.start()
    write_with(pipe, lambda temporary: temporary.write_text(temporary.suffix * 50_000))
    reader.join(timeout=30)
    assert content == [b".txt" * 50_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_is_written_into_and_stays_a_device(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    write_text(link, "gone")
    assert link.is_symlink()
    with pytest.raises(OSError, match="No space left"):
        write_text(Path("/dev/full"), "x")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


@pytest.mark.skipif(not Path("/dev/stdout").is_symlink(), reason="this system has no /dev/stdout")
def test_a_redirected_standard_output_is_written_into_and_its_name_stays(tmp_path: Path) -> None:
    """/dev/stdout leads to a plain file then; replacing it would break it for the whole system."""
    code = "from pathlib import Path\nfrom records.files import write_text\n"
    code += "print('before', flush=True)\nwrite_text(Path('/dev/stdout'), 'content')"
    target, leads_to = tmp_path / "out.txt", Path("/dev/stdout").readlink()
    with target.open("w") as out:
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=out, check=True)
    assert target.read_text() == "before\ncontent"
    assert Path("/dev/stdout").readlink() == leads_to


def test_a_link_to_a_file_stays_and_the_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_a_folder_is_no_place_for_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_bytes(tmp_path / "folder", b"x")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys\n"
        "from records.files import whole\n"
        "with whole(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for name in ("last.pt", "run.json", "noend"):
        subprocess.run([sys.executable, "-B", "-c", code, tmp_path / name], cwd=ROOT, check=False)
    (tmp_path / ".last.previous.pt-77").touch()
    (tmp_path / ".probe-77").touch()
    kept = [tmp_path / name for name in (".lock", "last.pt", ".hidden-notes.txt", ".a-1-zzzzzzzz.pt")]
    for path in kept:
        path.touch()
    (tmp_path / ".b-1-0123abcd").mkdir()
    assert len(list(tmp_path.iterdir())) == 10
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / ".b-1-0123abcd"])
    sweep(tmp_path / "none")


def test_a_stopped_writer_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole(tmp_path / "a"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
