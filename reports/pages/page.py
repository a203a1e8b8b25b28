"""report.html: one file that tells a whole run, needs no network, and is the same for the same run folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from records.files import write_text
from records.run import RunRecord
from records.text import duration, plural
from reports.errors import ReportError
from reports.pages import classes, course, island, network, sections, verdict
from reports.pages import parts as shared
from reports.pages.accuracy_section import accuracy_and_cost
from reports.pages.deployment import deployment
from reports.pages.html import Markup, document, element, table
from reports.runs import SearchRun, TrainRun, open_search
from reports.tables import conditions
from reports.tables import runs as tables
from reports.tables.table import millions

PAGE = "report.html"
SCRIPTS = (
    *("base.js", "charts.js", "density.js", "study.js", "trials.js"),
    *("opened.js", "history.js", "scatter.js", "curves.js", "parallel.js", "report.js"),
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
    looked = network.look(best) if best else network.NetworkView(Markup())
    folder = f"runs/search/{run.folder.resolve().name}"
    unfinished = run.record.state in ("running", "stopped")
    title = f"Search {run.record.name}"
    body = [
        *(shared.banner("Not finished" if unfinished else "Note", note) for note in run.notes),
        shared.data_banner(run.record.dataset),
        element("h1", title),
        verdict.against_best_preset(run.record),
        sections.lead(run),
        sections.key_figures(run),
    ]
    chapters = [
        ("Budget and verdict", sections.budget(run)),
        ("Finalists", sections.finalists(run)),
        ("The winner", sections.winner(run, best, looked) if best else None),
        ("Use it", course.use_it(best, folder) if best else None),
        (None, sections.tools(run) if scored else None),
        ("Best so far", course.course(run) if scored else None),
        ("Accuracy against cost", accuracy_and_cost(run) if scored else None),
        ("Learning curves", sections.curves(run) if scored else None),
        ("What matters", sections.importance(run) if scored else None),
        ("Dimensions", sections.dimensions(run) if scored else None),
        ("Trials", sections.trials(run) if run.trials else None),
        ("Rejected and failed", sections.rejected(run)),
        ("The winner's last training", _epochs(best.record, "The winner's last training") if best else None),
        ("Class by class", classes.by_class(best.record, "winner") if best else None),
        ("Mistakes", classes.mistakes(best) if best else None),
        ("Deployment", deployment(best.folder) if best else None),
        ("How to reproduce it", sections.reproduce(run)),
    ]
    return _page(title, "search report", body, chapters, island.search(run, looked.growth))


def train_page(run: TrainRun) -> str:
    """Return the page of a training run as text."""
    record, looked = run.record, network.look(run)
    title = f"Training run {record.name}"
    folder = f"runs/train/{run.folder.resolve().name}"
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
        ("Network", shared.section("network", "Network", None, looked.content)),
        ("Use it", course.use_it(run, folder)),
        ("Epoch by epoch", _epochs(record, "Epoch by epoch")),
        ("Class by class", classes.by_class(record, "run")),
        ("Mistakes", classes.mistakes(run)),
        ("Deployment", deployment(run.folder)),
        ("How to reproduce it", _reproduce(run)),
    ]
    return _page(title, "training report", body, chapters, island.training(record, looked.growth))


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


def _reproduce(run: TrainRun) -> Markup:
    record = run.record
    folder = shared.quoted(f"runs/train/{run.folder.resolve().name}")
    lines = [("Train it again", record.command)] if record.command else []
    lines.append(("Write this page again", f"python -m reports {folder}"))
    facts = shared.environment_table(record.dataset, record.environment, record.seed, record.started)
    parts = [shared.commands(lines), table(facts, "environment")]
    return shared.section("reproduce", "How to reproduce it", None, parts)


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
