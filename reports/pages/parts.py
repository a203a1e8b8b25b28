"""Parts that several pages share: sections, banners, key figures, charts, commands, environment."""

import shlex
from collections.abc import Sequence

from records.run import DatasetFacts, Environment, RunRecord
from reports.pages.html import Child, Markup, code, element, table
from reports.tables.conditions import images
from reports.tables.table import Column, Table


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
    return element(
        "div", [[element("p", words), code(line, words)] for words, line in lines], class_="commands"
    )


def quoted(path: object) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return str(value)
