import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training.data.pictures import decode


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(colour: tuple[int, int, int] = (200, 30, 60), size: tuple[int, int] = (6, 4)) -> bytes:
    return encoded(Image.new("RGB", size, colour))


def test_an_image_keeps_its_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)

    assert np.array_equal(decode(encoded(Image.fromarray(pixels))), pixels)
    assert np.array_equal(decode(encoded(Image.fromarray(pixels), "BMP")), pixels)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (2, 2), 90), [90, 90, 90]),
        (Image.new("1", (2, 2), 1), [255, 255, 255]),
        (Image.new("LA", (2, 2), (90, 10)), [90, 90, 90]),
        (Image.new("RGBA", (2, 2), (1, 2, 3, 4)), [1, 2, 3]),
        (Image.new("RGB", (2, 2), (1, 2, 3)).convert("P", palette=Image.Palette.ADAPTIVE), [1, 2, 3]),
        (Image.fromarray(np.full((2, 2), 0x8070, dtype=np.uint16)), [0x80, 0x80, 0x80]),
    ],
    ids=["grey", "black and white", "grey with alpha", "RGBA", "palette", "16 bits"],
)
def test_other_kinds_of_pixels_become_rgb(image: Image.Image, expected: list[int]) -> None:
    pixels = decode(encoded(image))

    assert pixels.shape == (2, 2, 3)
    assert pixels.dtype == np.uint8
    assert pixels[0, 0].tolist() == expected


def test_a_palette_with_transparency_warns_nobody() -> None:
    image = Image.new("RGB", (2, 2), (1, 2, 3)).convert("P", palette=Image.Palette.ADAPTIVE)

    assert decode(encoded(image, transparency=b"\0\1\2"))[0, 0].tolist() == [1, 2, 3]


def test_cmyk_becomes_rgb() -> None:
    red = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))

    assert np.abs(red[0, 0].astype(int) - [255, 0, 0]).max() < 8


def test_a_cameras_turn_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    image = Image.new("RGB", (8, 16))

    assert decode(encoded(image, "JPEG", exif=exif)).shape == (8, 16, 3)


def test_resize_keeps_the_aspect_and_cuts_the_longer_side_evenly() -> None:
    pixels = np.zeros((4, 12, 3), dtype=np.uint8)
    pixels[:, 4:8] = 255  # the middle third

    assert (decode(encoded(Image.fromarray(pixels)), resize=4) == 255).all()
    assert decode(png(size=(50, 40)), resize=8).shape == (8, 8, 3)


def test_broken_images_end_in_no_other_error() -> None:
    draw = np.random.default_rng(0)
    noise = Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    whole = [encoded(noise, kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")]
    refused = 0
    for data in whole * 40:
        broken = np.frombuffer(data, dtype=np.uint8).copy()
        broken[draw.integers(0, len(broken), 3)] = draw.integers(0, 256, 3)
        try:
            decode(broken.tobytes())
        except ValueError:
            refused += 1
    assert refused > 20
