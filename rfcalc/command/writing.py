"""Where text goes: the stdout and stderr that the process began with, or a file, whole."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO

from rfcalc.errors import UsageError


class Streams:
    """The process's stdout and stderr as they are now, kept whatever the code of a model closes."""

    def __init__(self) -> None:
        self._stdout, self._stderr = sys.stdout, sys.stderr
        self._spare = {1: _copied(1), 2: _copied(2)}

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Send everything that is printed meanwhile to stderr, by Python or by a library below it."""
        with suppress(ValueError, OSError, AttributeError):
            sys.stdout.flush()
        with suppress(OSError):  # a process without these descriptors, such as one without a console
            os.dup2(2, 1)
        try:
            with redirect_stdout(sys.stderr):
                yield
        finally:
            with suppress(ValueError, OSError, AttributeError):
                sys.stdout.flush()
            self.restore()

    def restore(self) -> None:
        """Put both streams back, open."""
        for number, spare in self._spare.items():
            if spare >= 0:
                os.dup2(spare, number)
        sys.stdout = self._opened(self._stdout, 1)
        sys.stderr = self._opened(self._stderr, 2)

    def close(self) -> None:
        """Give back the spare descriptors."""
        for spare in self._spare.values():
            if spare >= 0:
                os.close(spare)

    def _opened(self, stream: TextIO, number: int) -> TextIO:
        if not getattr(stream, "closed", False) or self._spare[number] < 0:
            return stream
        return os.fdopen(number, "w", encoding=stream.encoding, errors=stream.errors, closefd=False)


def _copied(number: int) -> int:
    try:
        return os.dup(number)
    except OSError:
        return -1


def write(text: str) -> None:
    """Write to stdout; a character that its encoding lacks becomes "?".

    Raises:
        UsageError: There is no stdout, or no room behind it.
        BrokenPipeError: The reader has gone.
    """
    if sys.stdout is None:
        raise UsageError("there is no stdout to write to; name a file with --output")
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
        raise
    except (OSError, ValueError) as error:
        _discard_stdout()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot write to stdout: {reason}; name a file with --output") from error


def _discard_stdout() -> None:
    """Send to nowhere what Python still holds: it would complain once more on flushing at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def complain(text: str) -> None:
    """Write to stderr as far as there is one."""
    try:
        encoding = sys.stderr.encoding or "utf-8"
        sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        with suppress(OSError):
            os.write(2, text.encode("ascii", "backslashreplace"))


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all; what is no plain file is written into.

    Raises:
        UsageError: The folder does not exist or cannot be written to.
    """
    # File names that are not in the system's encoding hold characters that UTF-8 does not have.
    write_bytes_whole(path, text.encode("utf-8", "replace"))


def write_bytes_whole(path: Path, content: bytes) -> None:
    """`write_whole` for bytes."""
    try:
        if _is_descriptor(path) or (path.exists() and not path.is_file() and not path.is_dir()):
            _write_into(path, content)
            return
        place = Path(os.path.realpath(path))  # a link stays, and what it names is replaced
        if not place.parent.is_dir():
            folder = place.parent if path.is_symlink() else path.parent
            raise UsageError(f"cannot write {path}: there is no folder {folder}; make it first")
        if place.is_dir():
            raise UsageError(f"cannot write {path}: it is a folder; name a file in it")
        _replace(place, content)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        if isinstance(error, UsageError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot write {path}: {reason}") from error


def _is_descriptor(path: Path) -> bool:
    """Return whether a path leads through /dev or /proc, such as /dev/stdout, which may be a plain file.

    To replace that file would tear it from whoever has it open.
    """
    for _ in range(40):
        parts = (Path.cwd() / path).parts
        if parts[1:2] in (("dev",), ("proc",)) and parts[2:3] != ("shm",) and path.exists():
            return True
        if not path.is_symlink():
            return False
        path = path.parent / path.readlink()
    return False


def _write_into(path: Path, content: bytes) -> None:
    # Appended: a log behind /dev/stdout keeps what it has. O_CREAT is left out, as nothing is to be made.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]


def _replace(path: Path, content: bytes) -> None:
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name[:100]}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_rights(path))
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        if temporary:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise


def _rights(path: Path) -> int:
    """Return the rights of the file that is replaced, or those that any new file would get."""
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power loss, where a folder can be opened (not on Windows)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
