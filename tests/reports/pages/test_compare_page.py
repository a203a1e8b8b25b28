import re
from collections.abc import Callable
from pathlib import Path

import pytest

from reports.pages.compare_page import compare_page
from reports.tables import compare

EXAMPLE = str(Path(__file__).resolve().parents[3] / "examples" / "c1c2c3c4.py")


@pytest.fixture
def sides(make_search: Callable[..., Path]) -> list[compare.Side]:
    return [compare.look(str(make_search(trials=3))), compare.look(EXAMPLE)]


def test_the_page_is_one_file_that_asks_for_nothing(sides: list[compare.Side]) -> None:
    page = compare_page(sides)
    assert page == compare_page(sides)
    assert "default-src 'none'" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert len(page.encode()) < 60_000


def test_every_cell_of_both_tables_is_on_the_page(sides: list[compare.Side]) -> None:
    page = compare_page(sides)
    for table in (compare.overview(sides), compare.layers(*sides)):
        for row in table.shown():
            for cell in row:
                assert f">{cell}</t" in page


def test_each_side_that_has_layers_is_drawn_and_described(sides: list[compare.Side]) -> None:
    page = compare_page(sides)
    assert page.count('class="line side-0"') == page.count('class="line side-1"') == 2  # in the key, too
    assert "demo ends at 69" in page
    assert "c1c2c3c4.py ends at 63" in page


def test_three_sides_have_no_layer_table(sides: list[compare.Side]) -> None:
    page = compare_page([*sides, sides[0]])
    assert "Layer by layer" not in page
    assert 'class="line side-2"' in page


def test_the_layers_can_stand_alone(sides: list[compare.Side]) -> None:
    page = compare_page(sides, layers_alone=True)
    assert "Side by side" not in page
    assert "Layer by layer" in page


def test_names_that_hold_html_stay_text(tmp_path: Path) -> None:
    bad = "<script>alert(1)<"
    path = tmp_path / f"{bad}.py"
    path.write_text(Path(EXAMPLE).read_text())
    page = compare_page([compare.look(str(path))])
    assert bad not in page
    assert "&lt;script&gt;alert(1)&lt;" in page


def test_the_curve_does_not_fall_at_a_shortcut() -> None:
    """resnet20 runs a 1x1 convolution after the branch that it goes round, which has seen more."""
    from rfcalc.analysis.view import lines_of

    side = compare.look("resnet20")
    assert side.analysis is not None
    sizes = [min(line.row.field.size) for line in lines_of(side.analysis)]
    assert sizes != sorted(sizes)
    drawn = re.findall(r'd="(M[^"]*)" class="line side-0"', compare_page([side]))[-1]
    heights = [float(y) for y in re.findall(r"[,V]([0-9.]+)", drawn)]
    assert len(heights) > 30
    assert heights == sorted(heights, reverse=True)  # y grows downwards
