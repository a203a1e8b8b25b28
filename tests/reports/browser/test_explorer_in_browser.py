from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

import rfcalc
from reports.explorer_page import explorer_page
from rfcalc.view import lines_of

Show = Callable[..., Any]
EXAMPLE = str(Path(__file__).resolve().parents[3] / "examples" / "c1c2c3c4.py")


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explorer")
    pixels = numpy.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=numpy.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    path = folder / "rf.html"
    path.write_text(explorer_page(EXAMPLE, (3, 32, 32), folder / "photo.png"), encoding="utf-8")
    return path


def test_the_pixels_on_the_page_are_those_of_rfcalc(explorer: Path, page: Show) -> None:
    browser = page(explorer)
    analysis = rfcalc.analyze(rfcalc.load_model(EXAMPLE), input_size=(3, 32, 32))
    for number, line in enumerate(lines_of(analysis)):
        field = line.row.field
        corner = [0] * len(field.positions)
        for index in (
            corner,
            [size // 2 for size in field.positions],
            [size - 1 for size in field.positions],
        ):
            y, x = (0, 0, *index)[-2:]
            seen = browser.run(f"[...pixelsOf(data.lines[{number}], {y}, {x})]")
            assert sorted(seen) == numpy.flatnonzero(field.mask(*index)).tolist()
            assert browser.run(f"pixelCount(data.lines[{number}], {y}, {x})") == len(seen)


def test_the_readout_follows_the_keyboard(explorer: Path, page: Show) -> None:
    browser = page(explorer)
    browser.run("document.querySelector('[aria-selected=\"true\"]').focus()")
    browser.key("Home")
    assert browser.run("byId('readout').textContent").startswith("layerc1.0.0")
    browser.run("unitCanvas.focus()")
    before = browser.run("[state.y, state.x]")
    browser.key("ArrowRight")
    browser.key("ArrowUp")
    assert browser.run("[state.y, state.x]") == [before[0] - 1, before[1] + 1]
    y, x = before[0] - 1, before[1] + 1
    assert f"rows{y - 1} to {y + 1}columns{x - 1} to {x + 1}pixels9 of 1,024" in browser.run(
        "byId('readout').textContent"
    )


def test_what_is_drawn_covers_what_is_seen(explorer: Path, page: Show) -> None:
    browser = page(explorer)
    browser.run("byId('beyond').checked = false; choose(0, false); moveTo(4, 20)")
    marked = browser.run("""(() => {
        const shot = (y, x) => {
            state.y = y;
            state.x = x;
            drawInput();
            return inputCanvas.getContext('2d').getImageData(0, 0, inputCanvas.width, inputCanvas.height);
        };
        const one = shot(4, 20), other = shot(28, 2), found = [];
        const at = (image, y, x) => {
            const column = Math.floor(view.x0 + (x + 0.5) * view.scale);
            const start = 4 * (Math.floor(view.y0 + (y + 0.5) * view.scale) * image.width + column);
            return image.data.slice(start, start + 4).join();
        };
        for (let y = 0; y < 32; y++) for (let x = 0; x < 32; x++)
            if (at(one, y, x) !== at(other, y, x)) found.push([y, x]);
        return found;
    })()""")
    expected = {(y, x) for y in (3, 4, 5) for x in (19, 20, 21)} | {
        (y, x) for y in (27, 28, 29) for x in (1, 2, 3)
    }
    assert {tuple(each) for each in marked} == expected


def test_a_click_on_a_pixel_shows_the_units_that_see_it(explorer: Path, page: Show) -> None:
    browser = page(explorer)
    browser.run("choose(0, false)")
    x, y = browser.run("""(() => {
        const box = inputCanvas.getBoundingClientRect();
        const ratio = devicePixelRatio || 1;
        const [x, y] = [view.x0 + 10.5 * view.scale, view.y0 + 0.5 * view.scale];
        return [box.left + x / ratio, box.top + y / ratio];
    })()""")
    browser.click(x, y)
    assert browser.run("state.pixel") == [0, 10]
    units = browser.run("seenBy(data.lines[0], 0, 10)")
    assert sorted(units) == [[y, x] for y in (0, 1) for x in (9, 10, 11)]
    assert "pixel 0, 10seen by 6 units" in browser.run("byId('readout').textContent")


def test_stages_fold(explorer: Path, page: Show) -> None:
    browser = page(explorer)
    shown = "[...document.querySelectorAll('[data-line]')].filter((row) => row.offsetParent !== null).length"
    before = browser.run(shown)
    browser.run("document.querySelector('.fold button').click()")
    assert browser.run(shown) == before - 3


def test_a_phone_needs_no_sideways_scrolling(explorer: Path, page: Show) -> None:
    browser = page(explorer, width=390, height=844)
    assert browser.run("document.documentElement.scrollWidth") == 390


@pytest.mark.slow
def test_resnet50_redraws_at_once_on_a_hover(tmp_path: Path, page: Show) -> None:
    path = tmp_path / "rf.html"
    path.write_text(explorer_page("torchvision.models:resnet50", (3, 224, 224)), encoding="utf-8")
    browser = page(path)
    times = browser.run("""data.lines.map((line, index) => {
        const start = performance.now();
        choose(index, false);
        moveTo(1, 1);
        return (performance.now() - start) / 2;
    })""")
    assert len(times) > 70
    assert sorted(times)[len(times) // 2] < 250  # 50 on an idle machine; here others may run as well
