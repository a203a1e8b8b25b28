"""What the terminal shows of a run: the few lines and tables that a person wants before opening the page."""

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.text import Text

from records.outcome import outcome, winner_title
from records.story import details
from records.text import duration
from reports.runs import SearchRun, TrainRun
from reports.tables import fronts
from reports.tables import runs as tables
from reports.tables.conditions import accuracy_words
from reports.tables.table import percent

BEST = 5
"""Trials in the summary of a search."""


def show(run: SearchRun | TrainRun, console: Console) -> None:
    """Print the summary of a run."""
    for part in _search(run) if isinstance(run, SearchRun) else _training(run):
        console.print(part)


def _search(run: SearchRun) -> Iterable[RenderableType]:
    record = run.record
    yield from _warnings(run.notes, record.dataset.notice)
    counted = ", ".join(f"{number:,} {state}" for state, number in record.trials.items())
    yield Text(
        f"search {record.name}: {counted}; {duration(record.seconds)} on {record.environment.hardware}"
    )
    yield Text(f"data set {record.dataset.title}")
    yield from (Text(words, style="bold") for words in [outcome(record)] if words)
    if run.best is not None:
        name, value, note = accuracy_words(run.best.record)
        yield Text(f"winner   {winner_title(record)}: {name.lower()} {value} ({note})", style="bold")
    elif run.scored:
        best = run.scored[0]
        yield Text(
            f"best     trial {best.number}: validation accuracy {percent(best.score or 0.0)} (n = 1 run)"
        )
    if record.verdict:
        yield tables.verdict(record).to_rich()
    if (front := fronts.of_objectives(record)) is not None:
        yield front.to_rich()
    if record.finalists:
        yield tables.finalists(record).to_rich()
        if record.presets:
            yield tables.presets(record).to_rich()
        yield from (Text(words) for words in details(record, run.trials))
    elif run.scored:
        yield tables.trials(run.scored[:BEST], f"Best {min(BEST, len(run.scored))} trials").to_rich()


def _training(run: TrainRun) -> Iterable[RenderableType]:
    record = run.record
    yield from _warnings(run.notes, record.dataset.notice)
    yield Text(f"training run {record.name}: network {record.network}, {duration(record.seconds)}")
    yield Text(f"data set {record.dataset.title}")
    name, value, note = accuracy_words(record)
    yield Text(f"{name.lower()} {value} ({note})", style="bold")
    if record.epochs:
        last = record.epochs[-BEST:]
        yield tables.epochs(last).to_rich()


def _warnings(notes: Iterable[str], notice: str | None) -> Iterable[Text]:
    for words in (*notes, *([notice] if notice else [])):
        yield Text(words, style="bold yellow")
