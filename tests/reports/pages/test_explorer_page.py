import base64
import dataclasses
import io
import re
from pathlib import Path

import numpy
import pytest
from PIL import Image

from reports.errors import ReportError
from reports.pages.explorer_page import explorer_page

EXAMPLE = str(Path(__file__).resolve().parents[3] / "examples" / "c1c2c3c4.py")
SIZE = (3, 32, 32)


def test_the_page_is_small_and_the_same_each_time() -> None:
    # A number of images: without one the time that the machine takes may decide how many there are.
    page = explorer_page(EXAMPLE, SIZE, images=2)
    assert page == explorer_page(EXAMPLE, SIZE, images=2)
    assert len(page.encode()) < 100_000


def test_the_page_says_which_layers_the_time_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from reports.pages import explorer

    def spread(analysis: object, rows: list, images: object, seconds: object, note: object) -> object:
        assert (images, seconds) == (None, explorer.SECONDS)
        found = real(analysis, rows[:2], 1)
        return dataclasses.replace(found, left_out=len(rows) - 2)

    real = explorer.effective.spread
    monkeypatch.setattr(explorer.effective, "spread", spread)
    page = explorer_page(EXAMPLE, SIZE)
    assert (
        "14 layers were not measured, because the time was up after 10 s (--erf-images 1 measures all)"
        in page
    )


def test_the_page_says_whether_the_budget_is_held_and_what_lint_finds() -> None:
    page = explorer_page(EXAMPLE, SIZE, images=0)
    assert '<div class="value">held</div><div class="note">7 of 7 limits of ' in page
    assert '<div class="value">1 remark</div><div class="note">idle</div>' in page
    assert '<td class="num">room 3,253</td>' in page
    assert '<button type="button" data-layer="c4.0.0">c4.0.0</button>' in page
    broken = explorer_page(str(Path(EXAMPLE).with_name("decoder.py")), SIZE, images=0)
    assert "breaks min-receptive-field, min-depthwise-separable, min-dilated, require-gap, stages" in broken
    assert '<td class="no">BROKEN</td>' in broken


def test_a_network_that_no_budget_applies_to_says_so(tmp_path: Path) -> None:
    path = tmp_path / "alone.py"
    path.write_text(Path(EXAMPLE).read_text())
    page = explorer_page(str(path), SIZE, images=0)
    assert "no pyproject.toml with [tool.rfcalc] above it" in page
    assert 'id="limits"' not in page


@pytest.mark.slow
def test_the_page_of_resnet50_stays_below_500_kilobytes() -> None:
    page = explorer_page("torchvision.models:resnet50", (3, 224, 224), images=1)
    assert len(page.encode()) < 500_000
    assert 'data-line="0"' in page
    assert "layer3.1 to" not in page  # said below layer3, where 1 to 5 will do
    assert "1 to 5, 5 alike (20 layers)" in page


def test_a_photo_travels_in_the_page(tmp_path: Path) -> None:
    pixels = numpy.random.default_rng(0).integers(0, 255, (40, 60), dtype=numpy.uint8)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    assert '<img id="photo" src="data:image/png;base64,' in explorer_page(
        EXAMPLE, SIZE, tmp_path / "grey.png"
    )


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize(
    "content", [None, b"", b"no image", EPS], ids=["missing", "empty", "text", "PostScript by that name"]
)
def test_a_photo_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("a program is started"))
    path = tmp_path / "photo.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReportError, match=r"--image .*photo\.png: cannot be read as an image"):
        explorer_page(EXAMPLE, SIZE, path)


def test_a_hostile_file_name_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "<img src=x onerror=alert(1)>.py"
    path.write_text(Path(EXAMPLE).read_text())
    page = explorer_page(str(path), SIZE)
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_a_picture_that_is_turned_by_its_exif_data_stands_upright(tmp_path: Path) -> None:
    pixels = numpy.zeros((64, 64, 3), dtype=numpy.uint8)
    pixels[:, :32] = 255  # white at the left; orientation 6 turns it clockwise, to the top
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    page = explorer_page(EXAMPLE, SIZE, tmp_path / "turned.png", images=0)
    found = re.search(r'id="photo" src="data:image/png;base64,([^"]+)"', page)
    assert found is not None
    shown = numpy.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))))
    assert (shown[:12] == 255).all()
    assert (shown[-12:] == 0).all()


@pytest.mark.parametrize(
    ("images", "words"),
    [(0, "closed form: a Gaussian"), (1, "averaged over 1 image of noise"), (2, "over 2 images of noise")],
)
def test_the_page_says_where_its_effective_fields_come_from(images: int, words: str) -> None:
    assert words in explorer_page(EXAMPLE, SIZE, images=images)
