"""The effective receptive field of each layer: measured where that is soon done, else in closed form."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
import numpy.typing

if TYPE_CHECKING:
    from rfcalc import Analysis, Row

MOST_IMAGES = 16
WORK = 5e11
"""Multiply-accumulates that measuring may take unless the user says how many images: seconds on two cores."""
PAGE_BYTES = 190_000
"""What all the maps of a page may take together."""
_FINEST, _COARSEST = 64, 16

Map = numpy.typing.NDArray[numpy.float64]


@dataclass(frozen=True)
class Effective:
    """How the influence of the pixels is spread, for each row of an analysis."""

    sigmas: tuple[tuple[float | None, ...], ...]
    """Closed form: standard deviation along height and width, in input pixels."""
    maps: dict[int, Map]
    """Measured influence on the centre unit, (H, W) of sum 1, by the row's index."""
    images: int
    """Noise images that were averaged over; 0 where nothing was measured."""
    why: str | None
    """Why nothing was measured."""


def spread(analysis: "Analysis", rows: Sequence["Row"], images: int | None = None) -> Effective:
    """Measure the effective field of `rows`, where that is not too much work, and work out that of every row.

    Args:
        analysis: Of a network on images.
        rows: Those to measure.
        images: Noise images to average over; 0 measures nothing, None takes as many as are soon done.
    """
    from rfcalc import RfcalcError, effective_field
    from rfcalc.questions.erf import measured_rows

    sigmas = effective_field(analysis)
    if images is None:
        images = affordable(analysis, rows)
        why = "measuring them would take too long; --erf-images 1 does it all the same"
    else:
        why = "nothing was to be measured (--erf-images 0)"
    if not images:
        return Effective(sigmas, {}, 0, why)
    try:
        found = measured_rows(analysis, rows, images=images)
    except RfcalcError as error:
        return Effective(sigmas, {}, 0, str(error).removeprefix("--erf-map: "))
    maps = {row.index: each.numpy() for row, each in zip(rows, found, strict=True) if each is not None}
    return Effective(sigmas, maps, images, None)


def affordable(analysis: "Analysis", rows: Sequence["Row"]) -> int:
    """Return how many noise images `WORK` allows: each costs a forward, and a backward a row."""
    wanted = {row.index for row in rows}
    so_far, work = 0, analysis.macs
    for row in analysis.rows:
        so_far += row.macs
        work += so_far if row.index in wanted else 0
    return min(MOST_IMAGES, int(WORK / max(1, work)))


def packed(influence: Map, seen: numpy.typing.NDArray[numpy.bool_], maps: int) -> dict[str, Any] | None:
    """Return a map as the page draws it: cells of the box that holds what is seen, a byte each.

    Args:
        influence: (H, W).
        seen: (H, W), the pixels that the unit sees.
        maps: How many maps share the page; with many of them the cells grow.

    Returns:
        `box` (top, left, height, width) and `cell` (side) in pixels, `data`: base64 of 255 times the square
        root of each cell's mean influence, the largest 1, row by row. None where nothing is seen.
    """
    rows, columns = numpy.flatnonzero(seen.any(1)), numpy.flatnonzero(seen.any(0))
    if not len(rows):
        return None
    top, left = int(rows[0]), int(columns[0])
    height, width = int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
    # Base64 takes four letters for three bytes.
    side = min(_FINEST, max(_COARSEST, int((PAGE_BYTES * 0.75 / max(1, maps)) ** 0.5)))
    cell = -(-max(height, width) // side)
    tall, wide = -(-height // cell), -(-width // cell)
    box = numpy.zeros((tall * cell, wide * cell))
    box[:height, :width] = influence[top : top + height, left : left + width]
    inside = numpy.zeros_like(box)
    inside[:height, :width] = 1
    shape = (tall, cell, wide, cell)
    means = box.reshape(shape).sum((1, 3)) / inside.reshape(shape).sum((1, 3))
    shares = numpy.sqrt(means / means.max()) if means.max() > 0 else means
    cells = numpy.rint(255 * shares).astype(numpy.uint8)
    data = base64.b64encode(cells.tobytes()).decode("ascii")
    return {"box": [top, left, height, width], "cell": cell, "data": data}


def sigma_of(influence: Map) -> tuple[float, float]:
    """Return the standard deviation of a map along height and width, in pixels."""
    found = []
    for axis in (0, 1):
        weights = influence.sum(1 - axis)
        places = numpy.arange(len(weights))
        mean = float((weights * places).sum())
        found.append(float((weights * (places - mean) ** 2).sum()) ** 0.5)
    return found[0], found[1]
