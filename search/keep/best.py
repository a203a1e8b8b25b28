"""The winner's folder `best/`: a new winner is built beside it and takes its place in one step at the end.

Three folders of a run take part. `best` is the winner that everybody reads, `best-next` the one that is
being built, `best-former` one that has been replaced and is being removed. A folder is whole when it has its
run.json, which is written last. Whatever step a kill interrupts, one whole winner stays on the disk, and
`settle` gives it the name `best` again at the next start.
"""

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from records import layout

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux's renameat2(2)


@dataclass(frozen=True)
class Best:
    """The winner's folder of the search in the folder `run`."""

    run: Path

    @property
    def path(self) -> Path:
        """The winner that is whole: spec, source, weights, run record, pictures."""
        return self.run / layout.BEST

    @property
    def coming(self) -> Path:
        """The winner that is being built."""
        return self.run / "best-next"

    @property
    def former(self) -> Path:
        """The winner that has been replaced, while it is being removed."""
        return self.run / "best-former"

    def begin(self, spec: Mapping[str, Any]) -> Path | None:
        """Return the folder in which to build the winner of this spec; None: `path` holds it already.

        The folder has the checkpoint of an earlier session that broke off while it built the same winner;
        what it has of another winner is removed.

        Args:
            spec: The winner's network, as JSON.

        Raises:
            OSError: The folder cannot be written.
        """
        self.settle()
        if _is_whole(self.path) and _spec(self.path) == spec:
            _remove(self.coming)
            return None
        if _spec(self.coming) != spec:
            _remove(self.coming)
        elif _is_whole(self.coming):  # killed just before it took its place
            self.swap()
            return None
        self.coming.mkdir(exist_ok=True)
        return self.coming

    def swap(self) -> None:
        """Let the winner that was built take the place of the former one, which is removed.

        Raises:
            OSError: The folder cannot be written; one whole winner is there.
        """
        if not self.path.exists():
            self.coming.rename(self.path)
        elif _exchange(self.coming, self.path):
            self.coming.rename(self.former)
        else:  # no exchange in one step here: for a moment there is no `best`, `settle` finds the other two
            self.path.rename(self.former)
            self.coming.rename(self.path)
        _remove(self.former)

    def settle(self) -> None:
        """Finish what a kill interrupted, so that `path` is a whole winner or does not exist.

        Raises:
            OSError: The folder cannot be written.
        """
        if self.path.exists() and not _is_whole(self.path) and not self.coming.exists():
            # Earlier versions trained the winner in `best` itself; its checkpoint is gone on with.
            self.path.rename(self.coming)
        if not self.path.exists():
            if _is_whole(self.coming):
                self.coming.rename(self.path)
            elif _is_whole(self.former):
                self.former.rename(self.path)
        _remove(self.former)


def _is_whole(folder: Path) -> bool:
    return (folder / layout.RUN).is_file()


def _spec(folder: Path) -> Any:
    """Return the spec that a winner's folder holds, None where it holds none that can be read."""
    try:
        return json.loads((folder / layout.SPEC).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it: `__pycache__`, exports and whatever else came to lie there."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change their names in one step; return False where the system cannot.

    It is renameat2(2) with RENAME_EXCHANGE: Linux and the usual file systems, from glibc 2.28 on.
    """
    if sys.platform != "linux":
        return False
    with suppress(AttributeError):  # another C library
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
        names = os.fsencode(one), os.fsencode(other)
        return bool(renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)
    return False
