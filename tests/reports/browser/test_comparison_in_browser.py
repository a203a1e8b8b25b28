"""The page of a comparison, wide and on a phone."""

from pathlib import Path

import pytest

from reports.pages.compare_page import compare_page
from reports.tables import compare
from tests.reports.browser.explorer_pages import EXAMPLE, Show
from tests.reports.browser.explorer_pages import decoder as decoder
from tests.reports.browser.explorer_pages import explorer as explorer


def test_a_comparison_opens_without_error(page: Show, tmp_path: Path) -> None:
    sides = [compare.look(EXAMPLE), compare.look("resnet8")]
    path = tmp_path / "compare.html"
    path.write_text(compare_page(sides), encoding="utf-8")
    browser = page(path, width=390, height=844)
    assert browser.run("document.documentElement.scrollWidth") == 390
    rows = browser.run("csvOfTable(document.getElementById('overview'))").splitlines()
    assert rows[0].endswith("c1c2c3c4.py,resnet8")
    assert "params," in "".join(rows)


def test_a_phone_shows_every_side_of_a_comparison(page: Show, tmp_path: Path) -> None:
    sides = [compare.look(name) for name in (EXAMPLE, "resnet8", "cifar10_transpose")]
    path = tmp_path / "compare.html"
    path.write_text(compare_page(sides), encoding="utf-8")
    browser = page(path, width=390, height=844)
    cut = browser.run("""[...document.querySelectorAll('#overview :is(td, th)')].filter((cell) =>
        cell.getBoundingClientRect().right > innerWidth).map((cell) => cell.textContent)""")
    assert cut == []
    # Labels of the curve are as large as other small text.
    assert browser.run(SMALL_TEXT) == []


# Texts of pictures that are drawn smaller than 10 pixels.
SMALL_TEXT = """[...document.querySelectorAll('svg text')].filter((text) => {
    const turned = text.getScreenCTM(), size = parseFloat(getComputedStyle(text).fontSize);
    return text.getClientRects().length && size * Math.hypot(turned.a, turned.b) < 9.99;
}).map((text) => text.textContent)"""


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_both_sides_of_every_pair_of_layers(page: Show, tmp_path: Path, dark: bool) -> None:
    path = tmp_path / "compare.html"
    path.write_text(compare_page([compare.look(name) for name in (EXAMPLE, "resnet8")]), encoding="utf-8")
    browser = page(path, width=390, height=844, dark=dark)
    cells = "[...document.querySelectorAll('#layers :is(td, th)')]"
    assert browser.run(f"{cells}.length") > 100
    cut = browser.run(f"""{cells}.filter((cell) => {{
        const {{right, width}} = cell.getBoundingClientRect();
        return right > innerWidth || cell.scrollWidth > Math.ceil(width);
    }}).map((cell) => cell.textContent)""")
    assert cut == []
    assert browser.run("document.documentElement.scrollWidth") == 390
    assert browser.run(SMALL_TEXT) == []
