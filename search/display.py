"""What a person sees while a search runs: bars with time left on a terminal, plain lines elsewhere."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from records.run import EpochRecord
from records.search import Finalist, SearchRecord, TrialRecord

PLAIN_LINES = 10
"""Lines that a stage prints, about, where the output is not a terminal."""


class Display:
    """Progress of one stage after the other; a context manager."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._stage, self._total = "", 1
        self._done = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, name: str, total: int, done: int = 0) -> None:
        """Begin a stage of `total` steps, of which `done` were made before a break."""
        self._stage, self._total, self._done = name, total, done
        self._task = self._progress.add_task(name, total=total, completed=done, note="")
        if not self.console.is_terminal:
            self.console.print(
                f"{name}: {done} of {total} done" if done else f"{name}: {total}", highlight=False
            )

    def note(self, text: str) -> None:
        """Show `text` beside the bar."""
        if self._task is not None:
            self._progress.update(self._task, note=text)

    def advance(self, note: str) -> None:
        """Count one step of the stage."""
        self._done += 1
        if self._task is not None:
            self._progress.update(self._task, advance=1, note=note)
        if not self.console.is_terminal and self._is_milestone():
            self.console.print(f"  {self._stage} {self._done:.0f}/{self._total}: {note}", highlight=False)

    def say(self, text: str, style: str | None = None) -> None:
        """Print a line above the bar."""
        self.console.print(text, style=style, highlight=False)

    def epoch(self, epoch: EpochRecord, total: int) -> None:
        """Count an epoch of the winner's training."""
        self.advance(
            f"epoch {epoch.epoch}/{total}  loss {epoch.train_loss:.3f}  train {epoch.train_accuracy:.1%}"
        )

    def _is_milestone(self) -> bool:
        step = max(1, self._total // PLAIN_LINES)
        return self._done % step == 0 or self._done == self._total


def percent(share: float | None) -> str:
    """Return a share as a percentage with one decimal, or a dash."""
    return "-" if share is None else f"{100 * share:.1f} %"


def trials_table(trials: Sequence[TrialRecord], top: int = 10) -> Table:
    """Return the best trials, the best first."""
    scored = sorted(
        (trial for trial in trials if trial.state == "complete" and trial.score is not None),
        key=lambda trial: (-(trial.score or 0), trial.number),
    )
    table = Table(title=f"Best {min(top, len(scored))} of {len(trials)} trials", title_justify="left")
    for name in ("trial", "validation", "params", "MACs", "RF", "widths", "seconds"):
        table.add_column(name, justify="left" if name == "widths" else "right")
    for trial in scored[:top]:
        table.add_row(
            str(trial.number),
            percent(trial.score),
            f"{trial.params:,}",
            f"{trial.macs / 1e6:.1f} M",
            str(trial.receptive_field),
            " ".join(str(value) for value in trial.values.values()),
            f"{trial.seconds:.0f}",
        )
    return table


def finalists_table(finalists: Sequence[Finalist], winner: int | None) -> Table:
    """Return the finalists, the best first, the winner marked."""
    table = Table(title="Finalists, trained longer", title_justify="left")
    for name in ("trial", "validation", "as a trial", "epochs", "params", "MACs", "RF", "seconds"):
        table.add_column(name, justify="right")
    for finalist in finalists:
        won = finalist.number == winner
        table.add_row(
            f"{'* ' if won else ''}{finalist.number}",
            percent(finalist.score),
            percent(finalist.trial_score),
            str(finalist.epochs),
            f"{finalist.params:,}",
            f"{finalist.macs / 1e6:.1f} M",
            str(finalist.receptive_field),
            f"{finalist.seconds:.0f}",
            style="bold" if won else None,
        )
    return table


def counts_line(record: SearchRecord) -> str:
    """Return how many trials ended how, and what was rejected for which reason."""
    counts = record.trials
    line = f"{counts['complete']} complete, {counts['pruned']} pruned, {counts['failed']} failed"
    reasons = ", ".join(f"{name} {count}" for name, count in record.rejections.items())
    return f"{line}; {counts['rejected']} rejected before training" + (f" ({reasons})" if reasons else "")
