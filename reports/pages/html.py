"""Safe HTML: elements whose text is escaped, and whole pages that need nothing but themselves.

A page carries its style, script, data and pictures. Its content-security policy allows just these,
by hash, and no network. So names out of a run (classes, networks, commands) are text wherever they land.
"""

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from reports.tables.table import Table

_VOID = {"meta", "img", "input", "br"}


class Markup(str):
    """HTML that is safe as it is; any other text is escaped where it is put into an element."""


Child = str | int | float | None | Iterable["Child"]


def element(tag: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Markup:
    """Return `<tag ...>children</tag>`.

    Args:
        tag: Its name.
        children: Text (escaped), `Markup` (kept), numbers, None (nothing), or lists of these.
        attributes: `class_` is class, `data_x` is data-x; None and False leave one out, True makes it bare.
    """
    given = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        given.append(f" {key}" if value is True else f' {key}="{html.escape(str(value))}"')
    opening = f"<{tag}{''.join(given)}>"
    return Markup(opening if tag in _VOID else f"{opening}{join(children)}</{tag}>")


def join(children: Iterable[Child]) -> Markup:
    """Put children side by side, text escaped."""
    parts = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(str(child))
        elif isinstance(child, str | int | float):
            parts.append(html.escape(str(child), quote=False))
        else:
            parts.append(str(join(child)))
    return Markup("".join(parts))


def table(data: Table, name: str, copy: bool = True, bars: int | None = None) -> Markup:
    """Return a `Table` as HTML that scrolls sideways where it is too wide, with a button to copy it as CSV.

    Args:
        data: Caption, columns and rows.
        name: The element's id, unique on the page.
        copy: Whether to offer the button.
        bars: Number of a column whose shares are also drawn, as a bar in each row: the picture is the table.
    """
    kinds = ["num" if column.number else None for column in data.columns]
    head = [
        element("th", column.title, scope="col", class_=kind)
        for column, kind in zip(data.columns, kinds, strict=True)
    ]
    if bars is not None:
        head.insert(bars + 1, element("td", class_="bars"))
    longest = max((float(row[bars] or 0) for row in data.rows), default=0) if bars is not None else 0
    body = []
    for row, shown in zip(data.rows, data.shown(), strict=True):
        cells = []
        for index, (value, text) in enumerate(zip(row, shown, strict=True)):
            # The stored value travels along where the shown text says less.
            stored = None if value is None or str(value) == text else str(value)
            tag, scope = ("th", "row") if index == 0 else ("td", None)
            empty = "none" if value is None else None
            mark = column.mark(value) if (column := data.columns[index]).mark else None
            kind = " ".join(filter(None, (kinds[index], empty, mark))) or None
            cells.append(element(tag, text, scope=scope, class_=kind, data_value=stored))
        if bars is not None:
            cells.insert(bars + 1, _bar(float(row[bars] or 0), longest))
        body.append(element("tr", cells))
    grid = element("table", element("thead", element("tr", head)), element("tbody", body), id=name)
    button = element("button", "Copy as CSV", type="button", class_="copy", data_csv=name) if copy else None
    caption = element("div", element("h3", data.caption), button, class_="caption")
    # Focus lets a keyboard scroll it.
    label = data.caption
    scroller = element("div", grid, class_="scroll", tabindex=0, role="region", aria_label=label)
    return element("div", caption, scroller, class_="tabled")


def _bar(value: float, longest: float) -> Markup:
    """A bar as long as the value's share of the longest one; the number is in the cell before."""
    share = value / longest if longest > 0 else 0.0
    size = 'viewBox="0 0 1000 10" preserveAspectRatio="none"'
    drawn = f'<svg {size}><rect class="bar" width="{1000 * share:.0f}" height="10"/></svg>'
    return element("td", Markup(drawn), class_="bars", aria_hidden="true")


def code(text: str, label: str) -> Markup:
    """Return a block of code with a button that copies it."""
    button = element(
        "button", "Copy", type="button", class_="copy", data_text=True, aria_label=f"Copy {label}"
    )
    block = element("pre", element("code", text), tabindex=0, aria_label=label)
    return element("div", button, block, class_="code")


def picture(content: bytes, description: str) -> Markup:
    """Return a picture that travels inside the page."""
    kind = "webp" if content[8:12] == b"WEBP" else "png"
    encoded = base64.b64encode(content).decode("ascii")
    return element("img", src=f"data:image/{kind};base64,{encoded}", alt=description)


def document(
    title: str,
    body: Markup,
    data: Mapping[str, Any],
    scripts: tuple[str, ...],
    styles: tuple[str, ...] = ("report.css",),
) -> str:
    """Return a whole page.

    Args:
        title: Shown in the browser's tab.
        body: Everything inside `<body>`.
        data: What the scripts read; JSON values.
        scripts: Names of the files in reports/assets that make up the script, in this order.
        styles: The same for the style.
    """
    style = "\n".join(map(asset, styles))
    script = "\n".join(["'use strict';", *(_lean(asset(name)) for name in scripts)])
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        Markup(f"<style>{style}</style>"),
    )
    island = Markup(f'<script type="application/json" id="data">{island_json(data)}</script>')
    whole = element("body", body, island, Markup(f"<script>{script}</script>"))
    return f'<!doctype html>\n<html lang="en">{head}{whole}</html>\n'


def island_json(data: Mapping[str, Any]) -> str:
    """Return JSON that cannot end its script element, whatever names it holds."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


@cache
def asset(name: str) -> str:
    """Return the text of a file in reports/assets."""
    return resources.files("reports").joinpath("assets", name).read_text(encoding="utf-8")


def _lean(script: str) -> str:
    """Leave out lines of comment and indentation, which only readers of the source need: pages carry them.

    The files have no template literal of several lines, in which these would count.
    """
    lines = map(str.strip, script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
