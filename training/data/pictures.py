"""From the bytes of an image file to pixels."""

from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

from records.pictures import FORMATS, PictureError, opened
from training.data.cache import Pixels

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Suffixes of the files that are taken for images; the content decides the format."""


class Squared(Protocol):
    """Brings photographs of any size to squares of one size, as the weights of a network want them."""

    @property
    def key(self) -> str:
        """Text that identifies everything that decides the pixels; part of the key of the cache."""

    def square(self, pixels: Pixels) -> Pixels:
        """Return (S, S, 3) pixels of (H, W, 3) pixels."""


def decode(
    data: bytes, resize: int | None = None, *, formats: tuple[str, ...] = FORMATS, largest: int | None = None
) -> Pixels:
    """Decode an image file.

    Args:
        data: The file's bytes.
        resize: Side of the square that the image is brought to: its shorter side is scaled to fit, its
            longer one cut evenly. None: left as it is.
        formats: Formats that are read.
        largest: Pixels at most; None: those of `opened`.

    Returns:
        (H, W, 3) RGB; grey is repeated, transparency dropped, a camera's turn applied.

    Raises:
        PictureError: The image is unreadable; the text is the reason.
    """
    with opened(data, formats=formats, largest=largest) as image:
        return np.asarray(_prepared(image, resize))


def _prepared(image: Image.Image, resize: int | None) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise PictureError("more than 16 bits a pixel; save it with 8")
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    if image.mode != "RGB":
        image = image.convert("RGB")
    if resize is not None and image.size != (resize, resize):
        image = ImageOps.fit(image, (resize, resize), Image.Resampling.BICUBIC)
    return image
