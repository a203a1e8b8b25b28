"""Read a run folder: its records, its files, and notes on what is missing."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from records.codec import RecordError
from records.pictures import PictureError, opened
from records.predictions import Predictions
from records.run import RunRecord
from records.search import SearchRecord
from records.trial import STATES, TrialRecord
from reports.errors import ReportError
from reports.mistakes import Mistake, most_confident_mistakes
from rfcalc.command.names import nearest_run

PICTURE_FORMATS = ("PNG",)
"""What mistakes.png may be inside. Pillow reads many more formats by default, some by starting a program."""
_TRIAL_FILE = re.compile(r"(\d+)-(\d+)\.json")
_NAMES = ": name the folder of a run, such as runs/search/NAME"
_UNFINISHED = {
    "running": 'The search is still going, or it broke off without notice (search.json says "running", stage'
    ' "{stage}"). This page shows what is there so far; --resume continues it.',
    "stopped": 'The search stopped early, at stage "{stage}": {reason}. This page shows what is there;'
    " --resume continues it.",
}


@dataclass(frozen=True)
class TrainRun:
    """What a folder with a `run.json` holds."""

    folder: Path
    record: RunRecord
    source: str | None
    """Text of the standalone model.py, where there is one."""
    mistakes: bytes | None
    """The picture mistakes.png as it is on disk."""
    wrong: tuple[Mistake, ...] = ()
    """What that picture shows, from predictions.npz, in its order."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before any number."""
        unfinished = "The run is still going or broke off: these are its numbers so far."
        return () if self.record.finished else (unfinished,)


@dataclass(frozen=True)
class SearchRun:
    """What the folder of a search holds."""

    folder: Path
    record: SearchRecord
    trials: tuple[TrialRecord, ...]
    """The newest attempt of each trial, in the order of their numbers."""
    best: TrainRun | None
    """The winner's own run; None while there is none."""

    @property
    def scored(self) -> tuple[TrialRecord, ...]:
        """The trials with an accuracy, the best first; equals are in the order of their numbers."""
        found = [trial for trial in self.trials if trial.score is not None]
        return tuple(sorted(found, key=lambda trial: (-(trial.score or 0.0), trial.number)))

    @property
    def most_epochs(self) -> int:
        """How many epochs the longest trial was trained."""
        return max((len(trial.epochs) for trial in self.trials), default=0)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before any number."""
        found = []
        if self.record.state in _UNFINISHED:
            reason = self.record.reason or "no reason is recorded"
            found.append(_UNFINISHED[self.record.state].format(stage=self.record.stage, reason=reason))
        elif self.record.state == "exhausted":
            found.append(self.record.reason or "The space was exhausted: no new candidate was left to try.")
        if self.record.stage == "done" and self.best is None:
            found.append("The folder best/ of the winner is missing.")
        elif self.best is not None:
            found.extend(self.best.notes)
        return tuple(found)


def open_run(folder: Path) -> SearchRun | TrainRun:
    """Read the run folder of a search or of a training run.

    Raises:
        ReportError: It is no such folder, or a file in it cannot be read; the message names file and field.
    """
    if not folder.is_dir():
        if folder.exists():
            raise ReportError(f"{folder} is a file, not a folder{_NAMES}")
        raise ReportError(f"{folder} does not exist{nearest_run(str(folder), Path.cwd()) or _NAMES}")
    try:
        if (folder / "search.json").is_file():
            return _open_search(folder)
        if (folder / "run.json").is_file():
            return _open_training(folder)
    except RecordError as error:
        raise ReportError(str(error)) from error
    raise ReportError(
        f"{folder} is not the folder of a run: it has neither search.json (python -m search) nor run.json"
        " (python train.py)"
    )


def open_search(folder: Path) -> SearchRun:
    """Read the folder of a search.

    Raises:
        ReportError: As `open_run`, or the folder holds a training run.
    """
    run = open_run(folder)
    if isinstance(run, TrainRun):
        raise ReportError(f"{folder} holds a training run, not a search: it has no search.json")
    return run


def _open_search(folder: Path) -> SearchRun:
    record = SearchRecord.read(folder / "search.json")
    best = folder / "best"
    trials = _newest(map(_trial, _trial_files(folder / "trials")))
    return SearchRun(folder, record, trials, _open_training(best) if (best / "run.json").is_file() else None)


def _trial(path: Path) -> TrialRecord:
    record = TrialRecord.read(path)
    if record.state not in STATES:
        raise ReportError(f"{path}: field 'state' must be one of {', '.join(STATES)}, got {record.state!r}")
    return record


def _open_training(folder: Path) -> TrainRun:
    record = RunRecord.read(folder / "run.json")
    count, matrix = len(record.dataset.classes), record.confusion
    if matrix is not None and [len(row) for row in matrix] != [count] * count:
        raise ReportError(f"{folder / 'run.json'}: field 'confusion' must be {count} rows of {count} counts")
    source = _bytes(folder / "model.py")
    text = source.decode("utf-8", errors="replace") if source is not None else record.source
    wrong = _wrong(folder / "predictions.npz", record.dataset.classes)
    return TrainRun(folder, record, text, _picture(folder / "mistakes.png"), wrong)


def _wrong(path: Path, classes: Sequence[str]) -> tuple[Mistake, ...]:
    if not path.is_file():
        return ()
    found = Predictions.read(path, len(classes))
    labels, predictions, confidence = found.labels, found.predictions, found.confidence
    return tuple(
        Mistake(index, classes[labels[index]], classes[predictions[index]], float(confidence[index]))
        for index in map(int, most_confident_mistakes(labels, predictions, confidence))
    )


def _trial_files(folder: Path) -> list[Path]:
    """The trials' files, by number and attempt; temporary files of a running search are passed over."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if match := _TRIAL_FILE.fullmatch(path.name):
            found.append((int(match[1]), int(match[2]), path))
    return [path for _, _, path in sorted(found)]


def _newest(trials: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
    newest: dict[int, TrialRecord] = {}
    for trial in trials:
        if trial.number not in newest or trial.attempt > newest[trial.number].attempt:
            newest[trial.number] = trial
    return tuple(newest[number] for number in sorted(newest))


def _picture(path: Path) -> bytes | None:
    """Return a picture's bytes, once it is sure that a browser can show them."""
    content = _bytes(path)
    if content is None:
        return None
    try:
        with opened(content, PICTURE_FORMATS) as image:
            image.load()
    except PictureError as error:
        raise ReportError(f"{path} cannot be read: it is no picture, or a part of one") from error
    return content


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise ReportError(f"{path} cannot be read ({error.strerror})") from error
