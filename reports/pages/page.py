"""report.html: one file that tells a whole run, needs no network, and is the same for the same run folder."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from records.files import write_text
from records.run import RunRecord
from records.text import duration, plural
from records.trial import TrialRecord
from reports.errors import ReportError
from reports.pages import classes, network, sections
from reports.pages import parts as shared
from reports.pages.accuracy_section import accuracy_and_cost
from reports.pages.deployment import deployment
from reports.pages.html import Markup, document, element, table
from reports.runs import SearchRun, TrainRun, open_search
from reports.tables import conditions
from reports.tables import runs as tables
from reports.tables.published import published_for, within_reach
from reports.tables.table import millions

PAGE = "report.html"
SCRIPTS = (
    *("base.js", "charts.js", "density.js", "study.js", "trials.js"),
    *("scatter.js", "curves.js", "parallel.js", "report.js"),
)
LONG = 12
"""With more epochs than this their table opens on request."""
_Chapters = Sequence[tuple[str | None, Markup | None]]


def write_search_report(folder: Path, output: Path | None = None) -> Path:
    """Write the page of a search.

    Its `best/model.py` is loaded, so run, to draw the network: report on folders whose source you trust.

    Args:
        folder: `runs/search/<name>`; one that still runs or broke off gives a page of what there is.
        output: Where to; `report.html` in the folder by default. Written whole or not at all.

    Returns:
        Where the page is.

    Raises:
        ReportError: The folder is no search, a record in it cannot be read, or the page cannot be written.
    """
    return write_report(open_search(folder), output)


def write_report(run: SearchRun | TrainRun, output: Path | None = None) -> Path:
    """Write the page of a run that was read already; otherwise as `write_search_report`."""
    text = search_page(run) if isinstance(run, SearchRun) else train_page(run)
    return write_page(output or run.folder / PAGE, text)


def search_page(run: SearchRun) -> str:
    """Return the page of a search as text."""
    scored, best = bool(run.scored), run.best
    unfinished = run.record.state in ("running", "stopped")
    title = f"Search {run.record.name}"
    body = [
        *(shared.banner("Not finished" if unfinished else "Note", note) for note in run.notes),
        shared.data_banner(run.record.dataset),
        element("h1", title),
        sections.against_best_preset(run),
        sections.lead(run),
        sections.key_figures(run),
    ]
    chapters = [
        ("Budget and verdict", sections.budget(run)),
        ("Finalists", sections.finalists(run)),
        ("The winner", sections.winner(run)),
        (None, sections.tools(run) if scored else None),
        ("Accuracy against cost", accuracy_and_cost(run) if scored else None),
        ("Learning curves", sections.curves(run) if scored else None),
        ("What matters", sections.importance(run) if scored else None),
        ("Dimensions", sections.dimensions() if scored else None),
        ("Trials", sections.trials(run) if run.trials else None),
        ("Rejected and failed", sections.rejected(run)),
        ("The winner's last training", _epochs(best.record, "The winner's last training") if best else None),
        ("Class by class", classes.by_class(best.record, "winner") if best else None),
        ("Mistakes", classes.mistakes(best) if best else None),
        ("Deployment", deployment(best.folder) if best else None),
        ("How to reproduce it", sections.reproduce(run)),
    ]
    return _page(title, "search report", body, chapters, search_data(run))


def train_page(run: TrainRun) -> str:
    """Return the page of a training run as text."""
    record = run.record
    title = f"Training run {record.name}"
    facts = [
        conditions.accuracy_words(record),
        ("Parameters", f"{record.params:,}", "every unique parameter"),
        ("Receptive field", f"{min(record.receptive_field)} px", "before global pooling"),
        ("MACs", millions(record.macs), "convolution and linear, per image"),
        ("Wall time", duration(record.seconds), f"{plural(len(record.epochs), 'epoch')}, seed {record.seed}"),
    ]
    words = f"Network {record.network}, on {record.environment.hardware}. Data set: "
    body = [
        *(shared.banner("Not finished", note) for note in run.notes),
        shared.data_banner(record.dataset),
        element("h1", title),
        element("p", words, element("b", record.dataset.title), ".", class_="lead"),
        shared.figures(facts),
    ]
    chapters = [
        ("Network", shared.section("network", "Network", None, network.content(run))),
        ("Epoch by epoch", _epochs(record, "Epoch by epoch")),
        ("Class by class", classes.by_class(record, "run")),
        ("Mistakes", classes.mistakes(run)),
        ("Deployment", deployment(run.folder)),
        ("How to reproduce it", _reproduce(run)),
    ]
    return _page(title, "training report", body, chapters, {"epochs": _epoch_data(record)})


def search_data(run: SearchRun) -> dict[str, Any]:
    """Return what the charts draw: one list a column over the scored trials, best first, then the others."""
    ranked: list[TrialRecord] = [*run.scored, *(trial for trial in run.trials if trial.score is None)]
    states = ["complete", "pruned", "failed"]
    names = tables.proposed(run.trials)
    largest = max((trial.params for trial in run.scored), default=0)
    near = set(within_reach(published_for(run.record.dataset), largest))
    return {
        "winner": run.record.winner,
        "states": states,
        "names": names,
        "number": [trial.number for trial in ranked],
        "state": [states.index(trial.state) for trial in ranked],
        "score": [_digits(trial.score, 7) for trial in ranked],
        "params": [trial.params for trial in ranked],
        "macs": [trial.macs for trial in ranked],
        "rf": [trial.receptive_field for trial in ranked],
        "seconds": [_digits(trial.seconds) for trial in ranked],
        "values": [_column([trial.values.get(name) for trial in ranked]) for name in names],
        "curves": [[_digits(epoch.val_accuracy, 4) for epoch in trial.epochs] for trial in ranked],
        "fronts": {
            "params": [trial.number for trial in tables.pareto(run.scored, lambda trial: trial.params)],
            "macs": [trial.number for trial in tables.pareto(run.scored, lambda trial: trial.macs)],
        },
        "published": [
            {**asdict(network), "near": network in near} for network in published_for(run.record.dataset)
        ],
        "last": _last(run),
        "epochs": _epoch_data(run.best.record) if run.best else None,
    }


def _column(values: Sequence[int | float | str | None]) -> Any:
    """Keep words once each: ten thousand times the name of a kernel would be most of the page."""
    if not any(isinstance(value, str) for value in values):
        return values
    words = list(dict.fromkeys(value for value in values if value is not None))
    places = {word: at for at, word in enumerate(words)}
    return {"words": words, "at": [None if value is None else places[value] for value in values]}


def _last(run: SearchRun) -> dict[str, Any] | None:
    """The winner's last training as a mark in the charts: what it reached on test, else on validation."""
    if run.best is None:
        return None
    record = run.best.record
    reached = record.test_accuracy if record.test_accuracy is not None else record.val_accuracy
    if reached is None:
        return None
    return {"params": record.params, "macs": record.macs, "accuracy": _digits(reached, 7)}


def _epochs(record: RunRecord, title: str) -> Markup:
    if not record.epochs:
        return shared.section("epochs", title, "No epoch was finished.")
    charts = [shared.chart("loss", "Loss"), shared.chart("accuracy-by-epoch", "Accuracy")]
    listed = table(tables.epochs(record.epochs), "epochs-table")
    why = "Training is measured on augmented images while the weights move; validation with the EMA weights."
    if all(epoch.val_accuracy is None for epoch in record.epochs):
        why = "Measured on augmented images while the weights move; no images were held out for validation."
    long = len(record.epochs) > LONG
    shown = element("details", element("summary", "The epochs as a table"), listed) if long else listed
    return shared.section("epochs", title, why, element("div", charts, class_="pair"), shown)


def _epoch_data(record: RunRecord) -> dict[str, list[float | None]]:
    names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
    return {name: [_digits(getattr(epoch, name)) for epoch in record.epochs] for name in names}


def _reproduce(run: TrainRun) -> Markup:
    record = run.record
    folder = shared.quoted(f"runs/train/{run.folder.resolve().name}")
    lines = [("Train it again", record.command)] if record.command else []
    lines.append(("Write this page again", f"python -m reports {folder}"))
    facts = shared.environment_table(record.dataset, record.environment, record.seed, record.started)
    parts = [shared.commands(lines), table(facts, "environment")]
    return shared.section("reproduce", "How to reproduce it", None, parts)


def _digits(value: float | None, digits: int = 5) -> float | None:
    """Round to significant digits: a page needs no more, and every one costs a byte a trial."""
    return None if value is None else float(f"{value:.{digits}g}")


def check_place(path: Path) -> None:
    """Check that a file can be written there, before the work whose result it is to hold.

    Raises:
        ReportError: `path` is a folder.
    """
    if path.is_dir():
        raise ReportError(f"--output {path} is a folder: name a file, such as {path / PAGE}")


def write_page(path: Path, text: str) -> Path:
    """Write a text whole.

    Raises:
        ReportError: `path` is a folder, or cannot be written.
    """
    check_place(path)
    try:
        write_text(path, text)
    except OSError as error:
        raise ReportError(
            f"{path} cannot be written ({error.strerror}); choose another with --output"
        ) from error
    return path


def _page(
    title: str,
    kind: str,
    body: Sequence[Markup | None],
    chapters: _Chapters,
    data: dict[str, Any],
) -> str:
    links, parts = [], []
    for name, part in chapters:
        if part is None:
            continue
        parts.append(part)
        if name is not None:
            target = part.split('id="', 1)[1].split('"', 1)[0]
            links.append(element("li", element("a", name, href=f"#{target}")))
    whole = element(
        "div",
        element("a", "Skip to the content", href="#content", class_="skip"),
        shared.masthead(kind),
        element("header", body),
        element(
            "div",
            element("nav", element("ol", links), aria_label="Sections"),
            element("main", parts, id="content"),
            class_="columns",
        ),
        element(
            "footer",
            "Written by python -m reports from the run folder. This page loads nothing from anywhere.",
        ),
        class_="page",
    )
    return document(title, whole, data, SCRIPTS)
