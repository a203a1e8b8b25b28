"""The state of a search, as something rich can draw: alike while it runs and from its folder afterwards."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from records.search import SearchRecord
from records.text import percent
from records.trial import TrialRecord, ranked

BLOCKS = "▁▂▃▄▅▆▇█"
LATEST = 30
"""Most values that a line of blocks shows: of a training its newest epochs, of the best some of all."""
BAR, NARROW = 12, 100
"""Columns of a trial's bar of epochs, half as many on a terminal that is narrower."""


@dataclass(frozen=True)
class Curve:
    """A training that is under way."""

    title: str
    accuracies: tuple[float, ...]
    """Validation accuracy of each epoch so far, 0-1."""
    epochs: int | None
    """How many there will be, if it is not pruned; None: not known."""


@dataclass(frozen=True)
class Standing:
    """What has come of a search so far."""

    counts: Mapping[str, int] = field(default_factory=dict)
    """Trials by state, and "rejected"."""
    rejections: Mapping[str, int] = field(default_factory=dict)
    best: TrialRecord | None = None
    history: tuple[float, ...] = ()
    """Validation accuracy of the best so far after each complete trial, 0-1."""
    running: tuple[Curve, ...] = ()
    per_hour: float | None = None
    """Trials an hour."""
    seconds_left: float | None = None
    """Of the trials."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it; the lines fold where the terminal is narrow."""
        if self.best is not None:
            yield Text(f"best so far: {described(self.best)}", style="bold")
        if len(self.history) > 1 and not options.ascii_only:
            line = sparkline(thinned(self.history), min(self.history), max(self.history))
            yield Text(f"best by trial: {percent(self.history[0])} {line} {percent(self.history[-1])}")
        if self.running:
            yield self._curves(options.ascii_only, BAR if options.max_width >= NARROW else BAR // 2)
        if self.counts:
            yield Text(counts_line(self.counts, self.rejections))
        if self.per_hour is not None:
            left = "" if self.seconds_left is None else f", {duration(self.seconds_left)} left for the trials"
            yield Text(f"{self.per_hour:,.0f} trials an hour{left}", style="dim")

    def _curves(self, ascii_only: bool, width: int) -> Table:
        every = [each for curve in self.running for each in curve.accuracies]
        if self.best is not None and self.best.score is not None:
            every.append(self.best.score)
        low, high = min(every, default=0.0), max(every, default=1.0)
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("running", "epochs", "", "validation", "by epoch"):
            table.add_column(name, no_wrap=True)
        for curve in self.running:
            done = len(curve.accuracies)
            bar: RenderableType = ProgressBar(curve.epochs, done, width=width) if curve.epochs else ""
            epoch = f"{done}/{curve.epochs}" if curve.epochs else str(done)
            line = "" if ascii_only else sparkline(curve.accuracies, low, high)
            latest = percent(curve.accuracies[-1]) if curve.accuracies else "-"
            table.add_row(curve.title, bar, epoch, latest, line)
        return table


def stand(record: SearchRecord, trials: Sequence[TrialRecord], running: Iterable[Curve] = ()) -> Standing:
    """Return the standing of a search from its records.

    The speed is that of the trainings themselves, several at a time as they were.
    """
    jobs = max(1, int(record.settings.get("jobs") or 1))
    trained = [trial for trial in trials if trial.state != "failed"]
    busy = sum(trial.seconds for trial in trained)
    speed = len(trained) * jobs / busy if busy else None
    missing = max(0, record.wanted - len(trained)) if record.stage == "trials" else 0
    return Standing(
        counts=record.trials,
        rejections=record.rejections,
        best=best_of(trials),
        history=history_of(trials),
        running=tuple(running),
        per_hour=3600 * speed if speed else None,
        seconds_left=missing / speed if speed and missing else None,
    )


def best_of(trials: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the complete trial with the lowest validation loss, the first of equals."""
    return next(iter(ranked(trials)), None)


def history_of(trials: Iterable[TrialRecord]) -> tuple[float, ...]:
    """Return the validation accuracy of the best trial after each complete one, in the order of numbers."""
    found: list[float] = []
    best: TrialRecord | None = None
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.state == "complete" and (best := best_of([best, trial] if best else [trial])):
            found.append(best.score or 0.0)
    return tuple(found)


def thinned(values: Sequence[float], most: int = LATEST) -> list[float]:
    """Return at most so many of the values, evenly, the last one among them."""
    if len(values) <= most:
        return list(values)
    return [values[(place + 1) * len(values) // most - 1] for place in range(most)]


def described(trial: TrialRecord) -> str:
    """Return a trial in one line."""
    return (
        f"trial {trial.number}, {percent(trial.score)} on validation, {trial.params:,} parameters, "
        f"{trial.macs / 1e6:.1f} M MACs, receptive field {trial.receptive_field}"
    )


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """Return the values as a row of blocks between `low` and `high`, the newest `LATEST` of them."""
    steps = len(BLOCKS) - 1
    span = (high - low) or 1.0
    return "".join(
        BLOCKS[round(steps * min(1.0, max(0.0, (value - low) / span)))] for value in values[-LATEST:]
    )


def counts_line(counts: Mapping[str, int], rejections: Mapping[str, int]) -> str:
    """Return how many trials ended how, and what was rejected for which reason."""
    seen = Counter(counts)
    line = f"{seen['complete']} complete, {seen['pruned']} pruned, {seen['failed']} failed"
    reasons = ", ".join(f"{name} {count:,}" for name, count in rejections.items())
    return f"{line}; {seen['rejected']:,} rejected before training" + (f" ({reasons})" if reasons else "")


def duration(seconds: float) -> str:
    """Return a span as people say it."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
