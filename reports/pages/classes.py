"""The sections on single classes: accuracy of each, the confusion matrix, the most confident mistakes."""

import io
from collections.abc import Sequence

from records.pictures import opened
from records.run import RunRecord
from reports.pages.html import Markup, element, picture, table
from reports.pages.parts import section
from reports.runs import PICTURE_FORMATS, TrainRun
from reports.tables import runs as tables

LARGEST_PICTURE = 60_000
"""Bytes of a picture that travels as it is; a larger one is encoded again, with loss."""


def by_class(run: RunRecord, name: str) -> Markup | None:
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


def _matrix(counts: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    count = len(names)
    if count > 30:
        return element("p", f"{count} classes are too many for a picture; the table has every count.")
    short = [_short(name, 14) for name in names]
    left = 12 + 6.6 * max(map(len, short))
    # The names above the columns lean to the right, by 0.64 of their length: the last ones past the matrix.
    right = 4.3 * max(map(len, short[-2:]))
    cell = (640 - left - right) / count
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


def mistakes(run: TrainRun) -> Markup | None:
    """The picture of the most confident mistakes, inside the page."""
    if run.mistakes is None:
        return None
    words = (
        "Above each image: what the network says, how surely, and what it is. The surest mistakes come first."
    )
    image = picture(_small(run.mistakes), f"The most confident mistakes. {words}")
    kind = "mistakes clear" if _is_clear(run.mistakes) else "mistakes"
    shown = element(
        "div",
        Markup(image.replace("<img ", f'<img class="{kind}" ', 1)),
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


def _small(content: bytes) -> bytes:
    """Keep a picture within what a page can carry."""
    if len(content) <= LARGEST_PICTURE:
        return content
    with opened(content, PICTURE_FORMATS) as image:
        plain = image.convert("RGBA" if "A" in image.getbands() else "RGB")
    for quality in (80, 65, 50, 35):
        out = io.BytesIO()
        plain.save(out, "WEBP", quality=quality, method=6)
        if out.tell() <= LARGEST_PICTURE:
            break
    return out.getvalue()


def _is_clear(content: bytes) -> bool:
    """Whether the page shows through the picture; it does not in those of older runs, which are white."""
    with opened(content, PICTURE_FORMATS) as image:
        return "A" in image.getbands() and image.getchannel("A").getextrema()[0] == 0


def _short(name: str, longest: int = 20) -> str:
    name = " ".join(name.split())
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _n(value: float) -> str:
    return f"{value:.1f}"
