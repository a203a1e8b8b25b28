import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from records import pictures
from records.pictures import FORMATS, LARGEST, PictureError, content_of, opened


def encoded(kind: str, size: tuple[int, int] = (6, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (9, 90, 200)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_the_listed_formats_are_opened_whatever_the_file_is_called(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.dat"
    path.write_bytes(encoded(kind))
    for source in (path, path.read_bytes()):
        with opened(source) as image:
            assert (image.format, image.size) == (kind, (6, 4))


def test_postscript_named_png_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a program was started"))
    path = tmp_path / "photo.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(PictureError, match=r"^not an image$"), opened(path) as image:
        image.load()


@pytest.mark.parametrize("action", ["ignore", "default", "error"])
def test_a_bomb_is_an_error_whatever_becomes_of_warnings(
    action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow only warns between its bound and twice that, and decodes; warnings may be switched off."""
    monkeypatch.setattr(pictures, "LARGEST", 1000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter(action)  # type: ignore[arg-type]
        bomb = encoded("PNG", (40, 40))
        with pytest.raises(PictureError, match=r"40x40 pixels, more than 1,000"), opened(bomb):
            pass
        with opened(encoded("PNG", (20, 50))) as image:
            assert image.size == (20, 50)


def test_fewer_formats_can_be_asked_for() -> None:
    with pytest.raises(PictureError, match=r"^not an image$"), opened(encoded("GIF"), ("PNG",)):
        pass


def test_the_bound_is_pillows_own() -> None:
    assert Image.MAX_IMAGE_PIXELS == LARGEST


def test_a_bomb_that_claims_more_than_it_holds_is_not_decoded() -> None:
    """The size in the header counts: nothing is allocated for it."""
    data = bytearray(encoded("BMP"))
    data[18:26] = np.array([60_000, 60_000], dtype="<i4").tobytes()
    with pytest.raises(PictureError, match=r"exceeds limit|more than"), opened(bytes(data)):
        pass


def test_damage_found_while_a_picture_is_used_is_the_same_error() -> None:
    noise = Image.effect_noise((64, 64), 50)
    file = io.BytesIO()
    noise.save(file, "JPEG")
    with pytest.raises(PictureError, match="truncated"), opened(file.getvalue()[:800]) as image:
        image.load()


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), opened(tmp_path / "none.png"):
        pass


def test_the_only_opener_of_pictures() -> None:
    """Who opens a picture otherwise forgets a format, a bound or an error."""
    root = Path(__file__).resolve().parents[2]
    sources = [path for part in ("records", "training", "reports") for path in (root / part).rglob("*.py")]
    found = [path.name for path in sources if "Image.open(" in path.read_text(encoding="utf-8")]
    assert found == ["pictures.py"]


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="a system without /dev/zero")
def test_a_file_without_an_end_is_refused_and_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "LARGEST_FILE", 1 << 20)
    with pytest.raises(PictureError, match=r"^more than 1 MiB$"):
        content_of(Path("/dev/zero"))
    with pytest.raises(PictureError, match=r"^more than 1 MiB$"), opened(Path("/dev/zero")):
        pass
