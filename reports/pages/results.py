"""What the page of a search and that of a training run share: classes, mistakes, where and how."""

import io
import math
import shlex
import statistics
from collections.abc import Sequence

from records.run import DatasetFacts, Environment, RunRecord
from reports.pages.html import Child, Markup, code, element, picture, table
from reports.runs import TrainRun
from reports.tables import runs as tables
from reports.tables.table import Column, Table, duration, percent

LARGEST_PICTURE = 60_000
"""Bytes of a picture that travels as it is; a larger one is encoded again, with loss."""


def section(name: str, title: str, why: str | None, *content: Child) -> Markup:
    """Return a section with its heading, one sentence of explanation, and its content."""
    words = element("p", why, class_="why") if why else None
    return element("section", element("h2", title), words, content, id=name)


def masthead(kind: str) -> Markup:
    """Return the line at the top of every page."""
    button = element("button", "Theme: system", type="button", id="theme")
    return element("div", element("span", element("b", "rfcalc"), f" · {kind}"), button, class_="masthead")


def banner(title: str, words: str) -> Markup:
    """Return a box that cannot be overlooked."""
    return element("div", element("strong", title), element("p", words), class_="banner", role="note")


def figures(facts: Sequence[tuple[str, str, str]]) -> Markup:
    """Return the key figures: (label, value, the conditions it holds under)."""
    items = [
        element(
            "div",
            element("dt", label),
            element("dd", element("div", value, class_="value"), element("div", note, class_="note")),
        )
        for label, value, note in facts
    ]
    return element("dl", items, class_="figures")


def chart(name: str, title: str) -> Markup:
    """Return the place where the script draws a chart."""
    plot = element(
        "div", element("noscript", "This chart needs scripts; the tables do not."), id=name, class_="plot"
    )
    return element("figure", element("figcaption", title), plot)


def data_banner(dataset: DatasetFacts) -> Markup | None:
    """Say it loudly when the numbers are not about what a reader takes them to be about."""
    return banner(f"Data set: {dataset.title}", dataset.notice) if dataset.notice else None


def test_note(run: RunRecord) -> str:
    """The conditions of the test accuracy."""
    share, images = run.test_accuracy or 0.0, run.dataset.test_images
    return f"n = 1 run, {len(run.epochs)} epochs; {images:,} images{standard_error(share, images)}"


def standard_error(share: float, images: int) -> str:
    """How far an accuracy may be off because the images are a sample: sqrt(p (1 - p) / n), in points.

    It says nothing of the spread from seed to seed, which one run cannot show.
    """
    if images < 1:
        return ""
    return f", standard error {100 * math.sqrt(share * (1 - share) / images):.2f} points"


def repeats(scores: Sequence[float]) -> str:
    """Say how many runs a mean rests on, and how far they lie apart."""
    if len(scores) < 2:
        return "n = 1 run"
    spread = 100 * statistics.stdev(scores)
    least, most = percent(min(scores)), percent(max(scores))
    return f"mean of n = {len(scores)} runs, standard deviation {spread:.2f} points, {least} to {most}"


def accuracy_words(run: RunRecord) -> tuple[str, str, str]:
    """The accuracy that the page leads with: on test where it was measured, else on validation."""
    if run.test_accuracy is not None:
        return "Test accuracy", percent(run.test_accuracy), test_note(run)
    if run.val_accuracy is not None:
        seen = run.dataset.validation_images
        error = standard_error(run.val_accuracy, seen)
        words = f"n = 1 run, {seen:,} images{error}; the test set was not met"
        return "Validation accuracy", percent(run.val_accuracy), words
    return "Accuracy", "none", "no accuracy was measured"


def classes(run: RunRecord, name: str) -> Markup | None:
    """Accuracy of each class and the confusion matrix, each drawn and as a table."""
    if run.per_class is None and run.confusion is None:
        return None
    seen = "test" if run.test_accuracy is not None else "validation"
    parts: list[Markup] = []
    if run.per_class:
        parts.append(table(tables.per_class(run), f"{name}-classes", bars=1))
    if run.confusion:
        matrix = table(tables.confusion(run), f"{name}-confusion-table")
        parts.append(element("h3", "Confusion matrix"))
        drawn = _matrix(run.confusion, run.dataset.classes)
        parts.append(element("div", drawn, class_="wide", tabindex=0, role="region", aria_label="Matrix"))
        parts.append(element("details", element("summary", "The matrix as a table"), matrix))
    why = f"Measured on the {seen} images, one run. A row of the matrix is a true class, a column an answer."
    return section(f"{name}-by-class", "Class by class", why, parts)


def mistakes(run: TrainRun) -> Markup | None:
    """The picture of the most confident mistakes, inside the page."""
    if run.mistakes is None:
        return None
    words = (
        "Above each image: what the network says, how surely, and what it is. The surest mistakes come first."
    )
    image = picture(_small(run.mistakes), f"The most confident mistakes. {words}")
    shown = element(
        "div",
        Markup(image.replace("<img ", '<img class="mistakes" ', 1)),
        class_="wide",
        tabindex=0,
        role="region",
        aria_label="Picture of the mistakes",
    )
    listed = None
    if run.wrong:
        rows = table(tables.mistakes(run.wrong), "mistakes-table")
        listed = element("details", element("summary", "The mistakes as a table"), rows)
    return section("mistakes", "Most confident mistakes", words, shown, listed)


def images(dataset: DatasetFacts) -> str:
    """How many images a run saw, and of what size."""
    height, width = dataset.image_size
    seen = f"{dataset.train_images:,} train, {dataset.validation_images:,} validation"
    return f"{seen}, {dataset.test_images:,} test; {height} x {width} pixels"


def environment_table(dataset: DatasetFacts, environment: Environment, seed: int, started: str) -> Table:
    """Where and on what a run took place."""
    commit = environment.git_commit or "unknown (not a git checkout)"
    rows = [
        ("data set", dataset.title),
        ("images", images(dataset)),
        ("content key of the data", dataset.fingerprint),
        ("seed", str(seed)),
        ("started", started),
        ("device", f"{environment.device}: {environment.hardware}"),
        ("threads of torch", str(environment.threads)),
        ("commit", commit + (" with local changes" if environment.git_dirty else "")),
        *((f"version of {name}", version) for name, version in environment.versions.items()),
    ]
    return Table("Where it ran", (Column("fact"), Column("value")), tuple(rows))


def recipe(run: RunRecord, name: str) -> Markup:
    """Everything that defined the training, as a table."""
    rows = tuple((key, _plain(value)) for key, value in run.recipe.items())
    listed = table(Table("Recipe", (Column("setting"), Column("value")), rows), name)
    return element("details", element("summary", "Recipe: everything that defined the training"), listed)


def commands(lines: Sequence[tuple[str, str]]) -> Markup:
    """Return commands to copy, each under what it does."""
    return element("div", [[element("p", words), code(line, words)] for words, line in lines])


def quoted(path: object) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))


def took(run: RunRecord) -> str:
    """Wall time of a run and how long an epoch took."""
    each = f"{duration(run.seconds / len(run.epochs))} an epoch" if run.epochs else "no epoch"
    return f"{duration(run.seconds)} ({each})"


def _matrix(counts: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    count = len(names)
    if count > 30:
        return element("p", f"{count} classes are too many for a picture; the table has every count.")
    short = [_short(name, 14) for name in names]
    left = 12 + 6.6 * max(map(len, short))
    cell = (640 - left) / count
    top = left * 0.75
    parts = []
    for row, (name, line) in enumerate(zip(short, counts, strict=False)):
        y, total = top + row * cell, max(1, sum(line))
        parts.append(element("text", name, x=_n(left - 6), y=_n(y + cell / 2 + 4), text_anchor="end"))
        for column, number in enumerate(line):
            x, share = left + column * cell, number / total
            place = f'x="{_n(x + 0.5)}" y="{_n(y + 0.5)}" width="{_n(cell - 1)}" height="{_n(cell - 1)}"'
            if not number:
                parts.append(Markup(f'<rect class="void" {place}/>'))
                continue
            # The root lifts rare confusions, the interesting ones, above the ground.
            shade = 0.06 + 0.94 * share**0.6
            parts.append(Markup(f'<rect {place} fill-opacity="{shade:.2f}"/>'))
            kind = "count on" if shade > 0.55 else "count"
            parts.append(element("text", number, x=_n(x + cell / 2), y=_n(y + cell / 2 + 3.5), class_=kind))
    for column, name in enumerate(short):
        x = left + (column + 0.5) * cell + 4
        turn = f"rotate(-50 {_n(x)} {_n(top - 6)})"
        parts.append(element("text", name, x=_n(x), y=_n(top - 6), transform=turn))
    label = "Confusion matrix; every count is in the table below."
    size = f"0 0 640 {_n(top + count * cell)}"
    return element("svg", parts, viewBox=size, class_="matrix", role="img", aria_label=label)


def _small(content: bytes) -> bytes:
    """Keep a picture within what a page can carry."""
    if len(content) <= LARGEST_PICTURE:
        return content
    from PIL import Image  # matplotlib, which drew the picture, needs it anyway

    with Image.open(io.BytesIO(content)) as image:
        plain = image.convert("RGB")
    for quality in (80, 65, 50, 35):
        out = io.BytesIO()
        plain.save(out, "WEBP", quality=quality, method=6)
        if out.tell() <= LARGEST_PICTURE:
            break
    return out.getvalue()


def _short(name: str, longest: int = 20) -> str:
    name = " ".join(name.split())
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return str(value)


def _n(value: float) -> str:
    return f"{value:.1f}"
