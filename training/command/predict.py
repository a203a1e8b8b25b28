"""`--predict`: the likeliest classes of images of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from records.next_steps import after_prediction, shown
from records.pictures import PictureError, content_of
from training.command.options import Options
from training.command.trained import Trained, open_trained
from training.data.pictures import decode
from training.data.samples import Samples
from training.errors import DataError
from training.fit import device
from training.fit.evaluate import evaluate

TOP = 5
"""Classes shown of one image; of several, three each."""
BAR = 24
"""Characters of a probability of 1."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image file as the network reads it."""

    path: Path
    size: tuple[int, int]
    """(width, height) of the file."""
    pixels: npt.NDArray[np.uint8]
    """(H, W, 3), of the network's own size."""


def predict(options: Options, console: Console) -> None:
    """Print the likeliest classes of the images that `--predict` names.

    Raises:
        TrainingError: The weights cannot be used.
        DataError: An image cannot be read; nothing was printed.
    """
    place = device.resolve(options.device)
    assert options.weights is not None
    trained = open_trained(options.weights, options.model)
    pictures = [open_picture(path, trained) for path in options.predict]
    chances = probabilities(trained, pictures, str(place))
    height, width = trained.image_size
    resized = sum(picture.size != (width, height) for picture in pictures)
    if resized:
        which = pictures[0].path if len(pictures) == 1 else f"{resized} of {len(pictures)} images"
        console.print(
            f"{which}: brought to the network's {width}x{height} (scaled to fit, the longer side cut evenly)",
            style="dim",
            markup=False,
        )
    one = len(pictures) == 1
    console.print(one_table(pictures[0], chances[0], trained) if one else table(pictures, chances, trained))
    steps = after_prediction(options.weights, options.model)
    console.print(shown(steps), markup=False, highlight=False, soft_wrap=True)


def open_picture(path: Path, trained: Trained) -> Picture:
    """Decode an image file and bring it to what the network reads.

    Raises:
        DataError: It cannot be read, or is no image.
    """
    try:
        pixels = decode(content_of(path))
    except OSError as error:
        raise DataError(f"--predict {path}: cannot be read ({error.strerror})") from error
    except PictureError as error:
        raise DataError(f"--predict {path}: cannot be decoded ({error})") from error
    size = pixels.shape[1], pixels.shape[0]
    return Picture(path, size, trained.fitted(pixels))


def probabilities(trained: Trained, pictures: Sequence[Picture], place: str) -> npt.NDArray[np.float32]:
    """Return (N, classes) probabilities."""
    images = np.stack([picture.pixels for picture in pictures])
    unknown = np.zeros(len(images), dtype=np.int64)
    samples = Samples(images, unknown, trained.classes, trained.mean, trained.std)
    return evaluate(trained.network, samples, device=place).probabilities


def one_table(picture: Picture, chances: npt.NDArray[np.float32], trained: Trained) -> Table:
    """Return the likeliest classes of one image, with bars."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    drawn.add_column(Text(picture.path.name))
    drawn.add_column("probability", justify="right")
    drawn.add_column("", no_wrap=True)
    for rank, index in enumerate(_best(chances, TOP)):
        bar = "█" * round(BAR * float(chances[index]))
        drawn.add_row(
            Text(trained.classes[index]), f"{chances[index]:.1%}", bar, style="bold" if rank == 0 else None
        )
    return drawn


def table(pictures: Sequence[Picture], chances: npt.NDArray[np.float32], trained: Trained) -> Table:
    """Return a row an image with its three likeliest classes."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("image", overflow="fold")
    drawn.add_column("size", justify="right")
    ranks = ("first", "second", "third")[: len(trained.classes)]
    for rank in ranks:
        drawn.add_column(rank)
    for picture, row in zip(pictures, chances, strict=True):
        cells = [Text(f"{trained.classes[index]} {row[index]:.1%}") for index in _best(row, len(ranks))]
        cells[0].stylize("bold")
        drawn.add_row(Text(str(picture.path)), f"{picture.size[0]}x{picture.size[1]}", *cells)
    return drawn


def _best(chances: npt.NDArray[np.float32], count: int) -> list[int]:
    return [int(index) for index in np.argsort(-chances, kind="stable")[:count]]
