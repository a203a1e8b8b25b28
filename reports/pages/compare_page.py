"""compare.html: run folders and networks side by side, as one file that needs no network."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.pages import parts as shared
from reports.pages.html import Markup, document, element, table
from reports.tables import compare
from reports.tables.compare import Side

_WIDTH, _HEIGHT = 760, 300
# Room for labels of twice the size, which phones get (compare.css).
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 16, 14, 62
_KINDS = 6
"""Lines that colour and dashes tell apart (compare.css)."""


def compare_page(sides: Sequence[Side], layers_alone: bool = False) -> str:
    """Return the comparison as a whole page; the same sides give the same bytes.

    Args:
        sides: At least one.
        layers_alone: Show nothing but the layer-by-layer table; for two sides.

    Raises:
        ReportError: `layers_alone`, and a side has no model.py.
    """
    names = " against ".join(side.name for side in sides)
    parts: list[Markup | None] = []
    if not layers_alone:
        parts.append(element("section", table(compare.overview(sides), "overview")))
        parts.append(_growth(sides))
    if layers_alone or (len(sides) == 2 and all(side.analysis for side in sides)):
        words = "Matched in order by what they do, their output's shape and their parameters."
        listed = table(compare.layers(*sides), "layers")
        parts.append(
            element("section", element("h2", "Layer by layer"), element("p", words, class_="why"), listed)
        )
    body = element(
        "div",
        shared.masthead("comparison"),
        element("h1", names),
        element("main", parts),
        element("footer", "Written by python -m reports compare. This page loads nothing from anywhere."),
        class_="page",
    )
    return document(f"Comparison: {names}", body, {}, ("base.js",), ("report.css", "compare.css"))


@dataclass(frozen=True)
class _Plot:
    """Where layers and pixels lie in the drawing."""

    layers: int
    most: int
    """The largest receptive field."""

    def x(self, layer: float) -> float:
        """Place of a layer, counted from 0."""
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * layer / max(1, self.layers - 1)

    def y(self, field: int) -> float:
        """Place of a receptive field."""
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * field / max(1, self.most)


def _growth(sides: Sequence[Side]) -> Markup | None:
    """Draw the receptive field against the layer, one line a side, from the analyses behind the table."""
    from rfcalc.analysis.view import grown_fields

    grown = [grown_fields(side.analysis) if side.analysis else () for side in sides]
    lines = [
        (number, side.name, [size for _, size in found])
        for number, (side, found) in enumerate(zip(sides, grown, strict=True))
        if found
    ]
    if not lines:
        return None
    plot = _Plot(max(len(fields) for *_, fields in lines), max(max(fields) for *_, fields in lines))
    drawn = [_line(number, fields, plot) for number, _, fields in lines]
    ends = ", ".join(f"{name} ends at {fields[-1]:,}" for _, name, fields in lines)
    svg = element(
        "svg",
        _axes(plot),
        drawn,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        class_="growth",
        role="img",
        aria_label=f"Receptive field in input pixels against the layer: {ends}.",
    )
    key = element("p", [_entry(number, name) for number, name, _ in lines], class_="key")
    words = (
        "The largest receptive field up to each layer, on an unbounded plane, in the order in which they run;"
        " the smaller of height and width. A shortcut, which sees less than the branch that it goes round, is"
        " no step back. Layers behind a global operation, which sees the whole image, are left out."
    )
    heading = element("h2", "How the receptive field grows")
    return element("section", heading, element("p", words, class_="why"), key, svg)


def _line(number: int, fields: Sequence[int], plot: _Plot) -> Markup:
    steps = [f"M{plot.x(0):.1f},{plot.y(fields[0]):.1f}"]
    # A step lies between two layers, so that the last layer has its own piece of the line.
    steps += [
        f"H{plot.x(layer - 0.5):.1f}V{plot.y(field):.1f}" for layer, field in enumerate(fields) if layer
    ]
    steps.append(f"H{plot.x(len(fields) - 1):.1f}")
    return element("path", d="".join(steps), class_=f"line side-{number % _KINDS}")


def _entry(number: int, name: str) -> Markup:
    sample = element("path", d="M0,5H34", class_=f"line side-{number % _KINDS}")
    return element("span", element("svg", sample, viewBox="0 0 34 10", aria_hidden="true"), name)


def _axes(plot: _Plot) -> Markup:
    parts = []
    for field in range(0, plot.most + 1, _step(plot.most)):
        y = plot.y(field)
        parts.append(element("path", d=f"M{_LEFT},{y:.1f}H{_WIDTH - _RIGHT}", class_="rule"))
        parts.append(element("text", f"{field:,}", x=_LEFT - 8, y=f"{y + 4:.1f}", text_anchor="end"))
    every = _step(plot.layers)
    for layer in sorted({1, *range(every, plot.layers + 1, every)}):
        place: dict[str, str | int] = {"x": f"{plot.x(layer - 1):.1f}", "y": _HEIGHT - _BOTTOM + 24}
        parts.append(element("text", layer, **place, text_anchor="middle"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(element("text", "layer", x=middle, y=_HEIGHT - 8, text_anchor="middle"))
    up = f"rotate(-90 16 {(_TOP + _HEIGHT - _BOTTOM) / 2})"
    words = element(
        "text", "input pixels", x=16, y=(_TOP + _HEIGHT - _BOTTOM) / 2, text_anchor="middle", transform=up
    )
    return Markup("".join([*parts, words]))


def _step(most: int, ticks: int = 6) -> int:
    """The round distance, 1, 2 or 5 times a power of ten, that needs at most so many ticks."""
    size = 1
    while True:
        for digit in (1, 2, 5):
            if most / (digit * size) <= ticks:
                return digit * size
        size *= 10
