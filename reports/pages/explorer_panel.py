"""The explorer's picture with what surrounds it, and what the script gets to draw it."""

from typing import Any

from reports.pages.html import Markup, element


def panel(height: int, width: int) -> Markup:
    """Return the places that the script fills: the layer in words, the image, its units, the facts."""
    see = f"The input, {height} x {width} pixels, with what the chosen unit sees. Arrow keys choose a pixel."
    seen = element("canvas", id="input", tabindex=0, role="application", aria_label=see)
    units = element(
        "canvas",
        id="units",
        tabindex=0,
        role="application",
        aria_label="The layer's units. Arrow keys choose a unit, with Shift in steps of eight.",
    )
    facts = element("dl", "", id="readout", class_="readout", aria_live="polite")
    scale = element(
        "div",
        "weak",
        element("i", aria_hidden="true"),
        "strong (square root of the influence)",
        class_="scale",
    )
    options = [
        element("label", element("input", type="checkbox", id=name, checked=checked), words)
        for name, checked, words in (
            ("heat", True, "effective field"),
            ("beyond", False, "zoom out to all that lies beyond the image"),
        )
    ]
    play = element("button", "Play", type="button", id="play", aria_pressed="false")
    now = element(
        "div",
        element("div", element("b", "", id="now-name"), play, class_="caption"),
        element("p", "", id="now-op"),
        element("p", "", id="sum"),
        element("p", "", id="sum-words"),
        class_="now",
        aria_live="polite",
    )
    below = element("div", units, facts, class_="below")
    return element("div", now, seen, scale, below, element("div", options, class_="options"), class_="panel")


def for_script(line: dict[str, Any]) -> dict[str, Any]:
    """Return what the script draws with; the table has the rest already."""
    kept = (
        "name",
        "op",
        "field",
        "unbounded",
        "grid",
        "rows",
        "columns",
        "units",
        "sets",
        "bounding",
        "sigma",
        "heat",
        "measured",
        "window",
        "formula",
        "reads",
        "flags",
    )
    return {key: line[key] for key in kept if key in line}
