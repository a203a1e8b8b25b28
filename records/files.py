"""The one writer of every file that the application puts out: files appear whole or not at all.

A reader never meets half a file: the bytes go to a temporary file in the same folder, reach the disk, and
take the name in one step. An error (of a full disk, for example) is raised and leaves the file that was there
before.
What is no plain file (a pipe, a device such as /dev/stdout) is not replaced but written into.
"""

import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# Names of temporary files, of `whole` and of whoever adds a process number to a hidden name.
_TEMPORARY = re.compile(r"\..+-\d+-[0-9a-f]{8}(\.\w+)?|\.last\.previous\.pt-\d+|\.probe-\d+")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on a clean exit its content becomes that of `path`, otherwise it is removed.

    Use it with writers that want a file name (torch.save, matplotlib, safetensors).

    Raises:
        OSError: `path` is a folder, cannot be written, or the disk is full; `path` is as it was.
    """
    if _is_written_into(path):
        with _into(path) as temporary:
            yield temporary
        return
    if path.is_symlink():
        path = path.resolve()  # the link stays, what it leads to is replaced
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: matplotlib and others choose the format by it.
    temporary = path.with_name(f".{path.stem}-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        with temporary.open("rb+") as file:  # Windows flushes only what may be written
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _is_written_into(path: Path) -> bool:
    """Return whether a path is a pipe or a device, or a name for one that the system keeps.

    /dev/stdout leads to a plain file where a shell has redirected the output. Neither may be replaced: the
    link is the system's, and the shell holds the file open.
    """
    named = path if path.is_absolute() else Path.cwd() / path  # not resolved: it is the link that tells
    if named.parent == Path("/dev") or named.parts[1:3] == ("dev", "fd") or named.parts[1:2] == ("proc",):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def _into(path: Path) -> Iterator[Path]:
    """Yield a temporary path elsewhere, whose content is then written into a pipe or device."""
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / f"content{path.suffix}"
        temporary.touch()
        yield temporary
        # Appended: where the output is redirected to a file, what was printed before stays.
        with temporary.open("rb") as content, path.open("ab") as place:
            shutil.copyfileobj(content, place)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content`, whole."""
    with whole(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as JSON, whole. NaN and infinity, which JSON does not have, are refused.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_with(path: Path, writer: Callable[[Path], object]) -> None:
    """Call `writer` with a temporary path, whose content then becomes that of `path`."""
    with whole(path) as temporary:
        writer(temporary)


def sweep(folder: Path) -> None:
    """Remove the temporary files of writers that were killed.

    Only who holds the lock of the folder may call this: the files of a writer at work look the same.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        if _TEMPORARY.fullmatch(path.name):
            with suppress(OSError):  # gone meanwhile, or a folder
                path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power loss, where the system lets a folder be opened (not Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
