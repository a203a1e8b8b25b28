"""The effective receptive field of each layer: measured where that is soon done, else in closed form."""

import base64
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
import numpy.typing

if TYPE_CHECKING:
    from rfcalc import Analysis, Row

MOST_IMAGES = 16
WORK = 5e11
"""Multiply-accumulates that measuring may take unless the user says how many images: seconds on two cores."""
MOST_PHASES = 16
"""Phases of a layer, over both axes, that are measured each on its own."""
BACKWARD = 10**9
"""What a backward is taken to cost besides, in multiply-accumulates: many small ones take their time, too."""
PAGE_BYTES = 190_000
"""What all the maps of a page may take together."""
_FINEST, _COARSEST = 64, 16

Map = numpy.typing.NDArray[numpy.float64]


@dataclass(frozen=True)
class Effective:
    """How the influence of the pixels is spread, for each row of an analysis."""

    sigmas: tuple[tuple[float | None, ...], ...]
    """Closed form: standard deviation along height and width, in input pixels."""
    maps: dict[int, dict[tuple[int, ...], Map]]
    """Measured influence on a unit, (H, W) of sum 1, by the row's index and the unit's. The centre unit of a
    row comes first; the others are one unit for each other phase."""
    images: int
    """Noise images that were averaged over; 0 where nothing was measured."""
    why: str | None
    """Why nothing was measured."""
    left_out: int = 0
    """Rows that were to be measured and were not, because the time was up."""


def spread(
    analysis: "Analysis",
    rows: Sequence["Row"],
    images: int | None = None,
    seconds: float | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Effective:
    """Measure the effective field of `rows`, where that is not too much work, and work out that of every row.

    Args:
        analysis: Of a network on images.
        rows: Those to measure.
        images: Noise images to average over; 0 measures nothing, None takes as many as `WORK` allows.
        seconds: After which to end; None: no limit, so that the same network gives the same figures on any
            machine.
        note: Called with how far the measurement has come, in words, before every step of it.
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
    # The centre units of all rows first: where the time is up, every row has its own before any has two.
    asked = [(row, units_by_phase(row)) for row in rows]
    wanted = [(row, units[0]) for row, units in asked] + [(row, u) for row, units in asked for u in units[1:]]
    started = time.monotonic()
    refused: int | None = None

    def proceed(done: int) -> bool:
        nonlocal refused
        taken = time.monotonic() - started
        number, unit = divmod(done, len(wanted))
        note(
            f"effective fields: image {number + 1} of {images}, unit {unit + 1} of {len(wanted)};"
            f" {taken:.0f} s" + (f" of at most {seconds:g}" if seconds is not None else "")
        )
        if seconds is not None and taken >= seconds:
            refused = done
        return refused is None

    try:
        chosen, units = [row for row, _ in wanted], [unit for _, unit in wanted]
        found = measured_rows(analysis, chosen, images=images, units=units, proceed=proceed)
    except RfcalcError as error:
        return Effective(sigmas, {}, 0, str(error).removeprefix("--erf-map: "))
    maps: dict[int, dict[tuple[int, ...], Map]] = {}
    for (row, unit), each in zip(wanted, found, strict=True):
        if each is not None:
            maps.setdefault(row.index, {})[unit] = each.numpy()
    if refused is None:
        return Effective(sigmas, maps, images, None)
    if not refused:
        why = f"the first image alone took more than {seconds:g} s; --erf-images 1 waits for it"
        return Effective(sigmas, {}, 0, why)
    # An image that was broken off counts where it is the first: its rows are measured, the others are not.
    return Effective(sigmas, maps, max(1, refused // len(wanted)), None, len(rows[refused:]))


def units_by_phase(row: "Row") -> list[tuple[int, ...]]:
    """Return the centre unit of a row, then one unit for each other phase, the nearest to the centre.

    Units of one phase see the same, as many shifts further on; those of another have weights of their own.
    With more than `MOST_PHASES` phases only the centre unit is returned.
    """
    centre = tuple(length // 2 for length in row.field.positions)
    counts = [len(span.phases) if span is not None else 1 for span in row.field.spans]
    if len(counts) != len(centre) or not 1 < math.prod(counts) <= MOST_PHASES:
        return [centre]
    along = [
        [unit if unit < length else unit - count for unit in range(middle, middle + count)]
        for middle, count, length in zip(centre, counts, row.field.positions, strict=True)
    ]
    return [unit for unit in itertools.product(*along) if min(unit) >= 0]


def affordable(analysis: "Analysis", rows: Sequence["Row"]) -> int:
    """Return how many noise images `WORK` allows: each costs a forward, and a backward a unit."""
    units = {row.index: len(units_by_phase(row)) for row in rows}
    so_far, work = 0, analysis.macs
    for row in analysis.rows:
        so_far += row.macs
        work += (so_far + BACKWARD) * units.get(row.index, 0)
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
