"""The colours of the pages: text must be readable in the light and in the dark (WCAG 2.2, 1.4.3, 1.4.11)."""

import re

import pytest

from reports.pages.html import asset

TEXT, PICTURE = 4.5, 3.0
PAIRS = [
    *[(name, "paper", TEXT) for name in ("ink", "muted", "blue", "red", "green", "mark")],
    *[(name, "panel", TEXT) for name in ("ink", "muted", "mark")],
    ("ink", "blue-soft", TEXT),
    ("warn-ink", "warn-paper", TEXT),
    ("orange", "paper", PICTURE),
]


def themes() -> dict[str, list[dict[str, str]]]:
    """The variables of each block of the style sheet that sets them."""
    blocks = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r"\{([^{}]*--paper: #[^{}]*)\}", asset("report.css"))
    ]
    return {"light": blocks[:1], "dark": blocks[1:]}


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_measured_as_the_standard_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_words_of_a_picture_without_a_ground_are_read_on_every_theme() -> None:
    from reports.figures.training import EITHER

    # On two such grounds nothing reaches 4.5 on both; the table below the picture has the words again.
    for ground in ("#ffffff", themes()["dark"][0]["paper"]):
        assert contrast(EITHER, ground) >= 4


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_colour_stands_out_from_its_ground(theme: str) -> None:
    blocks = themes()[theme]
    assert blocks
    for colours in blocks:
        for name, ground, least in PAIRS:
            assert contrast(colours[name], colours[ground]) >= least, f"{theme}: {name} on {ground}"


def test_the_system_and_the_button_give_the_same_dark() -> None:
    by_system, by_button = themes()["dark"]
    assert by_system == by_button


def test_paper_is_printed_on_in_the_light() -> None:
    dark = re.findall(r"@media screen[^{]*\{ :root[^{]*\{", asset("report.css"))
    assert len(dark) == 2
