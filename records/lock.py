"""The lock of a run folder, or of any file: one process at a time, however that one ends."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from records.errors import UserError

_ATTEMPTS, _MOMENT = 5, 0.05  # seconds between attempts to take a lock
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


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
