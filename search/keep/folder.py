"""The run folder of a search: its name, its lock, its trial records."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from records import layout, lock
from records.files import sweep, write_json, write_with
from records.search import SearchRecord
from records.trial import TrialRecord, write_trials_csv
from search.errors import SearchError
from search.keep.best import Best


@dataclass(frozen=True)
class RunFolder:
    """`runs/search/<name>/` and what lies in it."""

    path: Path

    @property
    def search_json(self) -> Path:
        """The SearchRecord."""
        return self.path / "search.json"

    @property
    def winner(self) -> Best:
        """The folder of the winner, and how it is replaced."""
        return Best(self.path)

    @property
    def best(self) -> Path:
        """The winner: spec, source, weights, run record, pictures."""
        return self.winner.path

    @property
    def lock(self) -> Path:
        """The file that the driver holds."""
        return self.path / ".lock"

    def storage(self) -> str:
        """Return the URL of the study's own database."""
        # Three slashes and an absolute path: the URL stays right whatever the working directory is.
        return f"sqlite:///{(self.path / 'study.db').resolve()}"

    def keep(self, trial: TrialRecord, stage: str = "trials") -> None:
        """Write a trial's record; from here on it cannot get lost."""
        write_json(self.path / stage / f"{trial.number}-{trial.attempt}.json", trial.to_json())

    def keep_losses(self, trial: TrialRecord, losses: bytes | None, stage: str = "trials") -> None:
        """Write the validation loss of each image, float16, beside a trial's record and before it."""
        if losses is not None:
            values = np.frombuffer(losses, dtype=np.float16)
            write_with(self._losses(trial, stage), lambda temporary: np.save(temporary, values))

    def losses(self, trial: TrialRecord, stage: str = "trials") -> npt.NDArray[np.float16] | None:
        """Return the validation loss of each image, (N,); None where no file holds them."""
        try:
            found = np.load(self._losses(trial, stage), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return found if found.dtype == np.float16 and found.ndim == 1 else None

    def _losses(self, trial: TrialRecord, stage: str) -> Path:
        return self.path / stage / f"{trial.number}-{trial.attempt}.npy"

    def trials(self, stage: str = "trials") -> list[TrialRecord]:
        """Read the records of a stage, in the order of number and attempt.

        Raises:
            RecordError: One cannot be read; the error names the file.
        """
        records = [
            TrialRecord.read(path) for path in (self.path / stage).glob("*.json") if path.name[0] != "."
        ]
        return sorted(records, key=lambda record: (record.number, record.attempt))

    def keep_search(self, record: SearchRecord, trials: Sequence[TrialRecord]) -> None:
        """Replace search.json and trials.csv."""
        write_trials_csv(self.path / "trials.csv", trials)
        write_json(self.search_json, record.to_json())


def newest(out: Path) -> RunFolder | None:
    """Return the search folder below `out` that was written last."""
    found = layout.newest(out, layout.SEARCH)
    return RunFolder(found) if found is not None else None


def find(name: str | None, out: Path) -> RunFolder:
    """Return the folder of a search, the newest one where no name is given.

    Raises:
        SearchError: There is none.
    """
    found = newest(out) if name is None else RunFolder(out / name)
    if found is None:
        raise SearchError(f"{out}: holds no search; name its folder by --out")
    if not found.search_json.is_file():
        known = ", ".join(sorted(path.parent.name for path in out.glob("*/search.json"))) or "none"
        raise SearchError(f"{found.path}: is no search; known in {out}: {known}")
    return found


def make(path: Path) -> RunFolder:
    """Create the folder, and find out now rather than after the first trial that it cannot be written.

    Raises:
        UserError: It cannot be written.
    """
    layout.make(path)
    (path / layout.TRIALS).mkdir(exist_ok=True)
    return RunFolder(path)


@contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Hold the folder for one driver; the system lets go of the lock however the driver ends.

    Raises:
        SearchError: Another driver holds it.
    """
    taken = SearchError(
        f"{folder.path}: another process is driving this search; wait, or choose another --name"
    )
    with lock.locked(folder.lock, taken):
        for each in (folder.path, folder.path / layout.TRIALS, folder.best, folder.winner.coming):
            sweep(each)
        yield
