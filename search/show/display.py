"""What a person sees while a search runs: a live table on a terminal, plain lines elsewhere."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
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

from models.spec import NetSpec, stage_widths
from records.run import EpochRecord
from records.search import Finalist, PresetRun, SearchRecord, TrialRecord
from search.execute.job import Job
from search.show.standing import Curve, Standing, percent, stand

PLAIN_LINES = 10
"""Lines that a stage prints, about, where the output is not a terminal."""


class Display:
    """Progress of one stage after the other, and on a terminal how the search stands; a context manager."""

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
        )
        self._task: TaskID | None = None
        self._stage, self._total = "", 1
        self._done = 0.0
        self._running: dict[tuple[int, int], Curve] = {}
        self._standing = Standing()
        self._live = Live(console=console, get_renderable=self._drawing, refresh_per_second=2)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.clear()
        self._live.stop()

    def stage(self, name: str, total: int, done: int = 0) -> None:
        """Begin a stage of `total` steps, of which `done` were made before a break."""
        self._stage, self._total, self._done = name, total, done
        self._task = self._progress.add_task(name, total=total, completed=done, note="")
        if not self.console.is_terminal:
            self.console.print(
                f"{name}: {done} of {total} done" if done else f"{name}: {total}", highlight=False
            )

    def tally(self, record: SearchRecord, trials: Sequence[TrialRecord]) -> None:
        """Take note of how the search stands."""
        self._standing = stand(record, trials)

    def began(self, job: Job, title: str) -> None:
        """Show a training from its start on, a second attempt anew."""
        title += f" (attempt {job.attempt})" if job.attempt > 1 else ""
        self._running[job.key] = Curve(title, (), int(job.recipe["epochs"]))

    def heard(self, job: Job, epoch: EpochRecord) -> None:
        """Add an epoch to a training's curve."""
        curve = self._running.get(job.key)
        if curve is not None and epoch.val_accuracy is not None:
            self._running[job.key] = Curve(curve.title, (*curve.accuracies, epoch.val_accuracy), curve.epochs)

    def ended(self, job: Job) -> None:
        """Show a training no longer."""
        self._running.pop(job.key, None)

    def advance(self, note: str) -> None:
        """Count one step of the stage."""
        self._done += 1
        if self._task is not None:
            self._progress.update(self._task, advance=1, note=note)
        if not self.console.is_terminal and self._is_milestone():
            self.console.print(f"  {self._stage} {self._done:.0f}/{self._total}: {note}", highlight=False)

    def say(self, text: str, style: str | None = None) -> None:
        """Print a line above the bars."""
        self.console.print(text, style=style, highlight=False, markup=False)

    def epoch(self, epoch: EpochRecord, total: int) -> None:
        """Count an epoch of the winner's training."""
        self.advance(
            f"epoch {epoch.epoch}/{total}  loss {epoch.train_loss:.3f}  train {epoch.train_accuracy:.1%}"
        )

    def _drawing(self) -> RenderableType:
        """Return the picture of this moment; the thread that refreshes it asks."""
        standing = self._standing
        running = tuple(self._running.copy().values())
        shown = Standing(
            standing.counts,
            standing.rejections,
            standing.best,
            running,
            standing.per_hour,
            standing.seconds_left,
        )
        return Group(self._progress, shown)

    def _is_milestone(self) -> bool:
        step = max(1, self._total // PLAIN_LINES)
        return self._done % step == 0 or self._done == self._total


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
            " ".join(str(width) for width in stage_widths(NetSpec.from_json(trial.spec))),
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


def presets_table(presets: Sequence[PresetRun]) -> Table:
    """Return the presets that were trained as the finalists were, the best first."""
    table = Table(title="Presets, trained as the finalists were", title_justify="left")
    for name in ("preset", "validation", "epochs", "params", "MACs", "RF", "seconds"):
        table.add_column(name, justify="left" if name == "preset" else "right")
    for preset in presets:
        table.add_row(
            preset.name,
            percent(preset.score),
            str(preset.epochs),
            f"{preset.params:,}",
            f"{preset.macs / 1e6:.1f} M",
            str(preset.receptive_field),
            f"{preset.seconds:.0f}",
        )
    return table
