"""Where a run keeps what: names of files, the newest run, a new folder or one to resume."""

import os
import time
from contextlib import suppress
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
