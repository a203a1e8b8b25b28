"""Where the network looked: by how much a class loses when a part of the picture is covered (occlusion).

Zeiler and Fergus, 2014 (arXiv:1311.2901), section 4.2. It asks the network alone, so that it is the same for
every network and engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

CELLS = 8
"""Rows and columns of covers: 64 answers for one picture."""


def edges(length: int) -> list[int]:
    """Return where the cells of a side begin and end: 32 pixels, [0, 4, 8, ..., 32]."""
    cells = min(CELLS, length)
    return [round(cell * length / cells) for cell in range(cells + 1)]


def covered(
    image: npt.NDArray[np.uint8], colour: tuple[float, float, float]
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield copies of an image (H, W, 3) with one cell each in one colour, row by row.

    Args:
        image: What the network reads.
        colour: 0-255; the mean of the training images is zero to the network, the least of all hints.
    """
    rows, columns = edges(image.shape[0]), edges(image.shape[1])
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            copy = image.copy()
            copy[top:bottom, left:right] = np.round(colour)
            yield copy


def drops(whole: float, shares: list[float], image: npt.NDArray[np.uint8]) -> list[list[float]]:
    """Return by how much each cell's cover lowers a probability, by row and column."""
    columns = len(edges(image.shape[1])) - 1
    lost = [whole - share for share in shares]
    return [lost[start : start + columns] for start in range(0, len(lost), columns)]
