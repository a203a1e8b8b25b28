"""Where a run keeps what: names of files, the newest run, a new folder or one to resume, and its lock."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from records.errors import UserError

SEARCHES = Path("runs/search")
"""Where searches go unless --out names another folder."""

RUN = "run.json"
"""The record of a training, or of a search's winner in `BEST`."""
SEARCH = "search.json"
"""The record of a search."""
WEIGHTS = "best.safetensors"
PREDICTIONS = "predictions.npz"
CHECKPOINT = "last.pt"
PREVIOUS = "last.previous.pt"
SOURCE = "model.py"
"""The network as a file that needs torch alone, where it has a spec."""
SPEC = "spec.json"
TRIALS = "trials"
"""Folder of a search's trial records."""
TRIALS_CSV = "trials.csv"
STUDY = "study.db"
BEST = "best"
"""Folder of a search's winner, itself laid out as a training run."""
LOCK = ".lock"
REPORT = "report.html"
CURVES, CONFUSION, MISTAKES = "curves.png", "confusion.png", "mistakes.png"
_ATTEMPTS, _MOMENT = 5, 0.05  # seconds between attempts to take a lock
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def newest(out: Path, record: str) -> Path | None:
    """Return the folder below `out` whose `record` ("run.json", "search.json") was written last."""
    found = []
    for path in out.glob(f"*/{record}"):
        with suppress(OSError):  # removed meanwhile
            found.append((path.stat().st_mtime, path.parent))
    return max(found)[1] if found else None


def locate(out: Path, name: str | None, resume: bool, record: str) -> tuple[Path, bool]:
    """Choose the folder of a run below `out`.

    Args:
        out: The folder of all runs.
        name: Its own; None: date and time, or with `resume` that of the newest run.
        resume: Whether a run is to be continued.
        record: The file by which a run is known.

    Returns:
        The folder, and whether there is a run in it to continue.

    Raises:
        UserError: A new run has the name of one that exists.
    """
    fresh = out / (name or time.strftime("%Y%m%d-%H%M%S"))
    if not resume:
        if fresh.exists():
            raise UserError(f"{fresh} exists; continue it with --resume, or choose another --name")
        return fresh, False
    folder = fresh if name is not None else newest(out, record) or fresh
    return folder, (folder / record).is_file()


def make(folder: Path) -> bool:
    """Create the folder, and find out now rather than after an epoch that it cannot be written.

    Returns:
        Whether it was not there before.

    Raises:
        UserError: It cannot be written.
    """
    fresh = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"--out {folder.parent}: cannot be written ({reason}); choose another folder"
        ) from error
    return fresh


def network_folder(path: Path) -> Path:
    """Return where a trained network lies: the winner's folder of a search, else `path` itself."""
    if (path / SEARCH).is_file() and not (path / RUN).is_file():
        return path / BEST
    return path


@contextmanager
def locked(path: Path, taken: UserError) -> Iterator[None]:
    """Hold a lock file; the system lets go of it however the process ends.

    Args:
        path: The lock file; made where it is missing, left behind, never read or written.
        taken: Raised where another process holds it.

    Raises:
        UserError: `taken`; or the file cannot be opened, being a link for instance.
    """
    from filelock import unlock_descriptor

    descriptor = _open_lock(path, os.O_CREAT)
    try:
        try:
            held = _take(descriptor)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise UserError(f"{path}: cannot be locked ({error.strerror or error})") from error
            yield  # some network drives have no locks; a run there is better than none
            return
        if not held:
            raise taken
        try:
            yield
        finally:
            unlock_descriptor(descriptor)
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock file."""
    from filelock import unlock_descriptor

    try:
        descriptor = _open_lock(path, 0)
    except UserError:  # no such file, or not one that `locked` would take
        return False
    try:
        if not _take(descriptor):
            return True
        unlock_descriptor(descriptor)
        return False
    except OSError:  # a drive without locks
        return False
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Take a lock; several attempts, because `is_locked` of another process holds it for a moment, too."""
    from filelock import lock_descriptor

    for _ in range(_ATTEMPTS - 1):
        if lock_descriptor(descriptor, blocking=False):
            return True
        time.sleep(_MOMENT)
    return lock_descriptor(descriptor, blocking=False)


def _open_lock(path: Path, create: int) -> int:
    """Open a lock file as it is: never emptied, and never through a link, which may lead to any file."""
    flags = os.O_RDWR | create | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        reason = "it is a link; remove it" if path.is_symlink() else error.strerror or error
        raise UserError(f"{path}: cannot be locked ({reason})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path}: cannot be locked (it is no plain file; remove it)")
    return descriptor
