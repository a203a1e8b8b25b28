"""300 hostile images: each is refused as a problem or read as a picture, within its time."""

import struct
import time
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from records.pictures import PictureError
from serve.model import FORMATS, MOST_PIXELS, Model, load
from tests.serve.conftest import picture


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """Return a PNG file that says it has these sides."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def other(kind: str, mode: str = "RGB") -> bytes:
    content = BytesIO()
    Image.new(mode, (8, 8)).save(content, kind)
    return content.getvalue()


REFUSED = {
    "bomb by its header": png(50_000, 50_000),
    "wide bomb": png(2**31 - 1, 1),
    "just too many pixels": png(6325, 6325),
    "bomb that is all there": png(20_000, 2_001, bytes(60_000_000)),
    "no side": png(0, 0),
    "tiff": other("TIFF"),
    "ppm": other("PPM"),
    "ico": other("ICO"),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "pdf": b"%PDF-1.4\n1 0 obj",
    "zip": b"PK\x03\x04" + b"0" * 100,
    "elf": b"\x7fELF" + b"0" * 100,
    "html": b"<!doctype html><title>cat</title>",
    "gzip": b"\x1f\x8b\x08" + b"0" * 100,
    "one byte": b"\x89",
    "png without pixels": png(32, 32),
    "png with few pixels": png(32, 32, b"0" * 10),
}


def damaged() -> Iterator[bytes]:
    """Yield 290 files: cut and with bytes changed."""
    random = np.random.default_rng(5)
    for kind in FORMATS:
        whole = picture((24, 24), kind)
        for _ in range(29):
            yield whole[: int(random.integers(1, len(whole) - 1))]
        for _ in range(29):
            content = bytearray(whole)
            for place in random.integers(0, min(len(content), 400), 8):
                content[place] = random.integers(0, 256)
            yield bytes(content)


@pytest.fixture(scope="module")
def model(run: Path) -> Model:
    return load(run)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_of_a_stranger_is_refused(model: Model, name: str) -> None:
    start = time.monotonic()
    with pytest.raises(PictureError):
        model.prepare(REFUSED[name])
    assert time.monotonic() - start < 5


def test_damaged_pictures_are_refused_or_read(model: Model) -> None:
    refused = total = 0
    for content in damaged():
        total += 1
        try:
            assert model.prepare(content).shape == (32, 32, 3)
        except PictureError:
            refused += 1
    assert total + len(REFUSED) >= 300
    assert refused >= 150  # every cut one of a format that knows its length, and most of the others


@pytest.mark.parametrize("kind", FORMATS)
def test_the_formats_that_are_named_are_read(model: Model, kind: str) -> None:
    assert model.prepare(picture((40, 24), kind)).shape == (32, 32, 3)


def test_the_first_picture_of_several_is_read(model: Model) -> None:
    content = BytesIO()
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
    assert model.prepare(content.getvalue())[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "1"])
def test_every_mode_becomes_rgb(model: Model, mode: str) -> None:
    assert model.prepare(other("JPEG" if mode == "CMYK" else "PNG", mode)).shape == (32, 32, 3)


def test_a_long_strip_takes_little(model: Model) -> None:
    content = BytesIO()
    Image.new("L", (1, 40_000)).save(content, "PNG")
    assert model.prepare(content.getvalue()).shape == (32, 32, 3)


def test_the_limit_of_pixels_is_the_documented_one() -> None:
    assert MOST_PIXELS == 40_000_000
