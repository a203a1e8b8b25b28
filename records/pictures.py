"""The one opener of pictures: which formats are read, how large a picture may be, and one kind of error.

Pillow looks at the content, not at the name, and among the formats that it knows by default are some that
start other programs: a file of PostScript named photo.png starts Ghostscript. So the formats are listed here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from records.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
LARGEST = 89_478_485
"""Pixels: Pillow's own bound (a quarter of a GiB at three bytes each), from which on it only warns."""

LARGEST_FILE = 4 * LARGEST
"""Bytes of a file: `LARGEST` pixels, each as red, green, blue and opacity without any packing."""


class PictureError(UserError, ValueError):
    """A picture that cannot be read; the text is the reason, and the caller knows the name of the file."""


class UnknownFormatError(PictureError):
    """A picture of none of the formats that are read, or no picture at all."""


def content_of(path: Path) -> bytes:
    """Return the bytes of a picture's file; it may be a pipe, and need not end (as /dev/zero does not).

    Raises:
        PictureError: There are more than `LARGEST_FILE`.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise PictureError(f"more than {LARGEST_FILE >> 20:,} MiB")
    return content


@contextmanager
def opened(
    source: Path | bytes, formats: Sequence[str] = FORMATS, *, largest: int | None = None
) -> Iterator[Image.Image]:
    """Open a picture, and turn whatever goes wrong within into one kind of error.

    Args:
        source: A file, or the bytes of one.
        formats: Formats to read, some of `FORMATS`; what is of another by its content is refused.
        largest: Pixels at most, compared before any is decoded; None: `LARGEST`.

    Raises:
        UnknownFormatError: The content is of none of `formats`.
        PictureError: The picture is unreadable, too large, or was found damaged while it was used.
        OSError: The file itself cannot be read.
    """
    from PIL import Image

    most = LARGEST if largest is None else largest
    content = source if isinstance(source, bytes) else content_of(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks about metadata; sizes are judged below
            with Image.open(BytesIO(content), formats=tuple(formats)) as image:
                if image.width * image.height > most:
                    size = f"{image.width}x{image.height} pixels"
                    raise PictureError(f"{size}, more than {most:,}: a bomb, or to be made smaller")
                yield image
    except PictureError:
        raise
    # Decoders raise whatever comes to their mind on broken files (SyntaxError, struct.error, TypeError, ...).
    except Exception as error:
        # By its name: Pillow need not be imported for it, and nobody else's class is called so.
        if type(error).__name__ == "UnidentifiedImageError":
            raise UnknownFormatError("not an image") from error
        reason = " ".join(str(error).split())
        raise PictureError(reason or type(error).__name__) from error
