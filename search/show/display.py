"""What a person sees while a search runs: a live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from models.spec import NetSpec, stage_widths
from records.run import EpochRecord
from records.search import Finalist, PresetRun, SearchRecord
from records.terminal import StepBar
from records.text import percent
from records.trial import TrialRecord, ranked
from search.execute.job import Job
from search.show.standing import Curve, Standing, stand

PLAIN_LINES = 10
"""Lines that a stage prints, about, where the output is not a terminal."""


class Display:
    """Progress of one stage after the other, and on a terminal the state of the search; a context manager.

    Args:
        console: Where it is drawn.
        now: A clock in seconds.
        live: Whether it is drawn again by itself, twice a second; otherwise `refresh` draws it.
    """

    def __init__(
        self, console: Console, now: Callable[[], float] = time.monotonic, *, live: bool = True
    ) -> None:
        self.console = console
        self._now = now
        self._bars: list[StepBar] = []
        self._running: dict[tuple[int, int], Curve] = {}
        self._standing = Standing()
        self._live = Live(
            console=console, get_renderable=self._drawing, refresh_per_second=2, auto_refresh=live
        )

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.clear()
        for bar in self._bars[-1:]:
            bar.end()
        self._live.stop()

    def refresh(self) -> None:
        """Draw it now."""
        self._live.refresh()

    def stage(self, name: str, total: int, done: int = 0) -> None:
        """Begin a stage of `total` steps, of which `done` were made before a break."""
        for bar in self._bars[-1:]:
            bar.end()
        self._bars.append(StepBar(name, total, done, self._now))
        if not self.console.is_terminal:
            self.console.print(
                f"{name}: {done} of {total} done" if done else f"{name}: {total}", highlight=False
            )

    def tally(self, record: SearchRecord, trials: Sequence[TrialRecord]) -> None:
        """Take the state of the search from its records."""
        self._standing = stand(record, trials)

    def began(self, job: Job, title: str) -> None:
        """Show a training from its start on, a second attempt anew."""
        if job.keep is not None:
            return  # its epochs are the steps of the stage
        title += f" (attempt {job.attempt})" if job.attempt > 1 else ""
        self._running[job.key] = Curve(title, (), int(job.recipe["epochs"]))

    def add_epoch(self, job: Job, epoch: EpochRecord) -> None:
        """Add an epoch to a training's curve."""
        curve = self._running.get(job.key)
        if curve is not None and epoch.val_accuracy is not None:
            self._running[job.key] = Curve(curve.title, (*curve.accuracies, epoch.val_accuracy), curve.epochs)

    def ended(self, job: Job) -> None:
        """Show a training no longer."""
        self._running.pop(job.key, None)

    def advance(self, note: str) -> None:
        """Count one step of the stage."""
        bar = self._bars[-1]
        bar.move(bar.done + 1, note)
        if not self.console.is_terminal and _is_milestone(bar):
            self.console.print(f"  {bar.title} {bar.done:.0f}/{bar.total:.0f}: {note}", highlight=False)

    def say(self, text: str, style: str | None = None) -> None:
        """Print a line above the bars."""
        self.console.print(text, style=style, highlight=False, markup=False)

    def notice(self, text: str) -> None:
        """Print a line that the user should not overlook."""
        self.say(text, style="yellow")

    def epoch(self, epoch: EpochRecord, total: int) -> None:
        """Count an epoch of the winner's training; those of an earlier session are done already."""
        self._bars[-1].skip_to(epoch.epoch - 1)
        self.advance(
            f"epoch {epoch.epoch}/{total}  loss {epoch.train_loss:.3f}  train {epoch.train_accuracy:.1%}"
        )

    def _drawing(self) -> RenderableType:
        """Return the picture of this moment; the thread that refreshes it asks."""
        running = tuple(self._running.copy().values())
        # The bar shows the time that is left.
        return Group(*self._bars, replace(self._standing, running=running, seconds_left=None))


def _is_milestone(bar: StepBar) -> bool:
    step = max(1, int(bar.total) // PLAIN_LINES)
    return bar.done % step == 0 or bar.done == bar.total


def trials_table(trials: Sequence[TrialRecord], top: int = 10) -> Table:
    """Return the best trials by validation loss, the best first."""
    best = ranked(trials)
    moved = any(trial.generation is not None for trial in trials)
    table = Table(title=f"Best {min(top, len(best))} of {len(trials)} trials", title_justify="left")
    for name in ("trial", "loss", "validation", "params", "MACs", "RF"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("from" if moved else "widths")
    for trial in best[:top]:
        last = " ".join(str(width) for width in stage_widths(NetSpec.from_json(trial.spec)))
        if moved:
            last = trial.preset or f"{trial.parent}: {'; '.join(trial.moves)}"
        table.add_row(
            str(trial.number),
            _loss(trial.loss),
            percent(trial.score),
            f"{trial.params:,}",
            f"{trial.macs / 1e6:.1f} M",
            str(trial.receptive_field),
            last,
        )
    return table


def finalists_table(finalists: Sequence[Finalist], winner: int | None) -> Table:
    """Return the finalists, the best first, the winner marked."""
    compared = any(finalist.gap is not None for finalist in finalists)
    table = Table(title="Finalists, with seeds of their own", title_justify="left")
    gaps = ["to best known"] if compared else []
    for name in ("network", "loss", *gaps, "runs", "validation", "params", "MACs"):
        table.add_column(name, justify="left" if name == "network" else "right", no_wrap=True)
    for finalist in finalists:
        won = finalist.number == winner
        gap = finalist.gap
        table.add_row(
            f"{'* ' if won else ''}{finalist.title}",
            _loss(finalist.loss),
            *([f"{gap.loss:+.4f} ± {gap.reach:.4f}" if gap else "-"] if compared else []),
            str(max(1, len(finalist.scores))),
            percent(finalist.score),
            f"{finalist.params:,}",
            f"{finalist.macs / 1e6:.1f} M",
            style="bold" if won else None,
        )
    return table


def presets_table(presets: Sequence[PresetRun]) -> Table:
    """Return the presets as trials, the best first."""
    table = Table(title="Presets, as trials", title_justify="left")
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


def _loss(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
