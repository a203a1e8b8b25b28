"""rf.html: the receptive-field explorer of one network, as one file that needs no network."""

import io
from itertools import groupby
from pathlib import Path
from typing import Any

from reports import network, results
from reports.errors import ReportError
from reports.explorer import explore
from reports.html import Markup, document, element, picture
from reports.table import count, millions

OPEN_AT_MOST = 40
"""With more layers than this, only the stage that the budget judges is unfolded at first."""
_HEADINGS = (
    *(("layer", ""), ("RF", "num"), ("jump", "num"), ("op", ""), ("output", "")),
    *(("params", "num"), ("MACs", "num")),
)


def explorer_page(target: str, input_size: tuple[int, ...], image: Path | None = None) -> str:
    """Return the explorer's page as text.

    Args:
        target: What rfcalc loads: `model.py`, `model.py:Name`, `package.module:name`. It is run.
        input_size: (C, H, W).
        image: A photo, cropped around its centre to the input's shape; a chequered ground without one.

    Raises:
        ReportError: The input is not (C, H, W), or the image cannot be read.
        rfcalc.errors.RfcalcError: The target cannot be loaded or analysed.
    """
    analysis = network.measure(target, input_size)
    data = explore(analysis)
    height, width = data["input"]
    photo = _photo(image, height, width) if image is not None else None
    field = analysis.field
    facts = [
        ("Receptive field", network.sides(field), "of the last features, before global pooling"),
        ("Parameters", count(analysis.params), "every unique parameter"),
        ("MACs", millions(analysis.macs), "convolution and linear, per image"),
        ("Input", "x".join(map(str, input_size)), f"{len(data['lines'])} layers"),
    ]
    body = element(
        "div",
        element("a", "Skip to the layers", href="#layers", class_="skip"),
        results.masthead("receptive-field explorer"),
        element("h1", target),
        results.figures(facts),
        element("div", _panel(height, width), _layers(data["lines"]), class_="explorer"),
        element("div", photo, class_="hidden") if photo else None,
        element("footer", "Written by python -m reports rf. This page loads nothing from anywhere."),
        class_="page",
    )
    island = {**data, "lines": [_for_script(line) for line in data["lines"]]}
    return document(
        f"Receptive fields of {target}", body, island, ("base.js", "rf.js"), ("report.css", "rf.css")
    )


def _panel(height: int, width: int) -> Markup:
    see = f"The input, {height} x {width} pixels, with what the chosen unit sees. Arrow keys choose a pixel."
    seen = element("canvas", id="input", tabindex=0, role="application", aria_label=see)
    grid = element(
        "canvas",
        id="units",
        tabindex=0,
        role="application",
        aria_label="The layer's units. Arrow keys choose a unit, with Shift in steps of eight.",
    )
    facts = element("dl", "", id="readout", class_="readout", aria_live="polite")
    beyond = element(
        "label", element("input", type="checkbox", id="beyond", checked=True), "beyond the image"
    )
    words = (
        "Choose a layer in the table and a unit in the small map: filled are the pixels it sees, dashed its"
        " extent on an unbounded plane. Click a pixel of the image to see which units see it."
    )
    options = element("div", beyond, class_="options")
    below = element("div", grid, facts, class_="below")
    return element("div", seen, below, options, element("p", words, class_="help"), class_="panel")


def _layers(lines: list[dict[str, Any]]) -> Markup:
    head = element(
        "tr", [element("th", title, scope="col", class_=kind or None) for title, kind in _HEADINGS]
    )
    bodies = []
    folds = len(lines) > OPEN_AT_MOST
    numbered = list(enumerate(lines))
    for name, group in groupby(numbered, key=lambda pair: pair[1]["name"].split(".")[0].split("#")[0]):
        members = list(group)
        is_open = not folds or len(members) == 1 or any(line["judged"] for _, line in members)
        rows = [_row(index, line, is_open) for index, line in members]
        if len(members) > 1:
            button = element(
                "button", f"{name}, {len(members)} layers", type="button", aria_expanded=str(is_open).lower()
            )
            rows.insert(
                0,
                element("tr", element("th", button, colspan=len(_HEADINGS), scope="rowgroup"), class_="fold"),
            )
        bodies.append(element("tbody", rows))
    listed = element("table", element("thead", head), bodies, id="layers", aria_label="Layers")
    return element("div", listed, class_="layers")


def _row(index: int, line: dict[str, Any], shown: bool) -> Markup:
    flags = ", ".join(line["flags"])
    remark = element("span", f" ({flags})", class_="flag") if flags else None
    cells = [
        element("th", line["name"], scope="row"),
        element("td", line["field"], class_="num"),
        element("td", line["jump"] or "-", class_="num"),
        element("td", line["op"], remark),
        element("td", line["output"]),
        element("td", count(line["params"]), class_="num"),
        element("td", millions(line["macs"]), class_="num"),
    ]
    kind = "judged" if line["judged"] else None
    return element(
        "tr", cells, data_line=index, tabindex=-1, class_=kind, hidden=not shown, aria_selected="false"
    )


def _for_script(line: dict[str, Any]) -> dict[str, Any]:
    """What the script draws with; the rest stands in the table already."""
    kept = (
        "name",
        "op",
        "field",
        "judged",
        "unbounded",
        "grid",
        "rows",
        "columns",
        "units",
        "sets",
        "bounding",
    )
    return {key: line[key] for key in kept if key in line}


def _photo(path: Path, height: int, width: int) -> Markup:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            fitted = ImageOps.fit(opened.convert("RGB"), (width, height))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ReportError(f"--image {path}: cannot be read as an image ({error})") from error
    out = io.BytesIO()
    if height * width <= 64 * 64:
        fitted.save(out, "PNG")
    else:
        fitted.save(out, "WEBP", quality=85)
    image = picture(out.getvalue(), "The photo that the explorer looks at.")
    return Markup(image.replace("<img ", '<img id="photo" ', 1))
