"""What the receptive-field explorer shows: the exact input pixels that every unit of every layer sees.

A unit's pixels are a union of products rows x columns. In nearly all networks one product remains, whose rows
depend on the unit's row alone and its columns on its column alone: two short lists a layer hold every unit.
Where that does not hold, each unit's own products are kept, so that what is shown is exact either way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from records.text import shape
from reports import effective
from reports.errors import ReportError
from reports.pages.explorer_words import formula, settings
from reports.tables.network import field_jump, field_size

if TYPE_CHECKING:
    from rfcalc import Analysis, Field, Row
    from rfcalc.analysis.view import Line

LARGEST_SHARE = 0.6
"""Of the image, that the layer sees on which the page opens."""
Product = tuple[int, int]
"""Bitmasks of the rows and of the columns that are seen."""

SECONDS = 10
"""After which measuring effective fields ends, unless the user says how many images."""
LARGEST_JOINT = 4096
"""Units of a layer that is stored unit by unit; a larger one shows the grid that bounds its pixels."""


@dataclass
class Masks:
    """Interned sets of rows or columns; the page refers to them by number."""

    numbers: dict[int, int] = field(default_factory=dict)

    def number(self, bits: int) -> int:
        """Return the number of a bitmask."""
        return self.numbers.setdefault(bits, len(self.numbers))

    def runs(self) -> list[list[int]]:
        """Return each set as [first, last, first, last, ...] of its runs."""
        return [runs(bits) for bits in self.numbers]


def runs(bits: int) -> list[int]:
    """Return the runs of ones of a bitmask: 0b1101 -> [0, 0, 2, 3]."""
    found = []
    place = 0
    while bits:
        zeros = (bits & -bits).bit_length() - 1
        bits >>= zeros
        ones = (~bits & (bits + 1)).bit_length() - 1
        found += [place + zeros, place + zeros + ones - 1]
        bits >>= ones
        place += zeros + ones
    return found


def explore(
    analysis: "Analysis", images: int | None = 0, note: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Return what the explorer's page draws, as JSON values.

    Args:
        analysis: Of a network on images.
        images: Noise images to measure the effective fields with; 0: closed form alone, None: as many as are
            soon done.
        note: Called with how far the work has come, in words.

    Raises:
        ReportError: The input is not (C, H, W).
    """
    from rfcalc.analysis.view import lines_of

    if len(analysis.input_size) != 3:
        size = shape(analysis.input_size)
        raise ReportError(f"the explorer draws networks on images, C x H x W; the input here is {size}")
    found = lines_of(analysis)
    # A unit of a vector, or one behind a global operation, has the whole image in view: nothing to centre on.
    maps = [line.row for line in found if len(line.row.field.positions) == 2 and not line.row.field.is_global]
    spread = effective.spread(analysis, maps, images, SECONDS if images is None else None, note)
    number = sum(map(len, spread.maps.values()))
    # A row that is folded into another is on its line.
    places = {row.index: place for place, line in enumerate(found) for row in (line.row, *line.folded)}
    masks = Masks()
    lines = []
    for place, line in enumerate(found, start=1):
        note(f"pixels of the units: layer {place} of {len(found)}")
        shown = _line(line, masks)
        shown["window"] = settings(line)
        shown["formula"] = formula(line, analysis.rows)
        shown["reads"] = list(dict.fromkeys(places[source] for source in line.row.sources))
        shown["judged"] = analysis.field_row in (line.row.index, *(row.index for row in line.folded))
        shown |= _influence(line.row, spread, number)
        lines.append(shown)
    return {
        "input": list(analysis.input_size[1:]),
        "images": spread.images,
        "why": spread.why,
        "left_out": spread.left_out,
        "opens": opening(found, analysis.input_size[1:]),
        "masks": masks.runs(),
        "lines": lines,
    }


def opening(lines: "Sequence[Line]", image: Sequence[int]) -> int:
    """Return the number of the layer that the page opens on: a deep one whose centre unit sees a part alone.

    A unit that sees the whole image shows as little as one that sees three pixels. A join, whose two maps can
    be looked at in turn, goes before other layers, and one whose kernel adds to the field before the rest.
    """
    fit = []
    for number, line in enumerate(lines):
        field = line.row.field
        if len(field.positions) == 2 and not field.is_global:
            rows, columns = field.inputs_seen(*(length // 2 for length in field.positions))
            if 1 < len(rows) * len(columns) <= LARGEST_SHARE * image[0] * image[1]:
                fit.append(number)
    joins = [number for number in fit if len(set(lines[number].row.sources)) > 1]
    wide = [number for number in fit if (window := lines[number].window) and max(window.kernel) > 1]
    return (joins or wide or fit or [0])[-1]


def _influence(row: "Row", spread: effective.Effective, maps: int) -> dict[str, Any]:
    """Sigma in closed form, and what was measured: a map for each phase, and the sigma of the centre unit."""
    sigmas = spread.sigmas[row.index]
    known = [round(sigma, 2) for sigma in sigmas if sigma is not None]
    facts: dict[str, Any] = {"sigma": known if len(known) == len(sigmas) else None}
    measured = spread.maps.get(row.index)
    if measured:
        # Where not every phase was measured, the units of the others are drawn in closed form.
        packed = []
        for unit, influence in measured.items():
            drawn = effective.packed(influence, row.field.mask(*unit).numpy(), maps)
            if drawn is not None:
                packed.append({"unit": list(unit), **drawn})
        facts["heat"] = packed
        facts["measured"] = [round(s, 2) for s in effective.sigma_of(next(iter(measured.values())))]
    return facts


def _line(line: "Line", masks: Masks) -> dict[str, Any]:
    row, seen = line.row, line.row.field
    unbounded = None
    spans = [span for span in seen.spans if span is not None]
    if len(spans) == len(seen.positions) == 2 and None not in seen.start and not seen.is_global:
        # With a longer period than the map has units, the units are all there is to know.
        unbounded = {
            "shift": [span.shift for span in spans],
            "phases": [
                [span.at(unit) for unit in range(min(len(span.phases), length))]
                for span, length in zip(spans, seen.positions, strict=True)
            ],
        }
    return {
        "name": row.name,
        "op": row.op,
        "output": shape(row.output_shape),
        "field": field_size(seen),
        "jump": field_jump(seen),
        "params": line.params,
        "macs": line.macs,
        "flags": sorted(seen.flags),
        "unbounded": unbounded,
        **_units(seen, masks),
    }


def _units(seen: "Field", masks: Masks) -> dict[str, Any]:
    """The grid of units and what each sees: `rows` and `columns`, or `units` with `sets` of products."""
    positions = seen.positions
    if len(positions) > 2:
        return {"grid": None}
    grid = [1] * (2 - len(positions)) + list(positions)
    if len(positions) == 2:
        apart = _apart(seen, positions)
        if apart is not None:
            rows, columns = apart
            return {
                "grid": grid,
                "rows": [masks.number(bits) for bits in rows],
                "columns": [masks.number(bits) for bits in columns],
            }
    if grid[0] * grid[1] > LARGEST_JOINT:
        return {"grid": grid, "bounding": True, **_bounds(seen, positions, masks)}
    sets: dict[tuple[int, ...], int] = {}
    units = []
    for y in range(grid[0]):
        for x in range(grid[1]):
            products = largest(seen.reach.products((y, x)[2 - len(positions) :]))
            numbered = tuple(masks.number(bits) for product in products for bits in product)
            units.append(sets.setdefault(numbered, len(sets)))
    return {"grid": grid, "units": units, "sets": [list(each) for each in sets]}


def _apart(seen: "Field", positions: Sequence[int]) -> tuple[list[int], list[int]] | None:
    """Rows by the unit's row and columns by its column, where every unit sees just one product; else None."""
    height, width = positions
    rows: list[int] = []
    columns: list[int] = []
    for y in range(height):
        found = largest(seen.reach.products((y, width // 2)))
        if len(found) != 1:
            return None
        rows.append(found[0][0])
    for x in range(width):
        found = largest(seen.reach.products((height // 2, x)))
        if len(found) != 1:
            return None
        columns.append(found[0][1])
    # An op that mixes the axes (a reshape, say) would show at other units.
    step_y, step_x = max(1, height // 7), max(1, width // 7)
    for y in {*range(0, height, step_y), height - 1}:
        for x in {*range(0, width, step_x), width - 1}:
            if largest(seen.reach.products((y, x))) != [(rows[y], columns[x])]:
                return None
    return rows, columns


def _bounds(seen: "Field", positions: Sequence[int], masks: Masks) -> dict[str, list[int]]:
    """The union of a unit's rows and of its columns, for layers with too many units to keep them all."""
    height, width = positions
    rows, columns = [], []
    for y in range(height):
        products = seen.reach.products((y, width // 2))
        rows.append(masks.number(_union(product[0] for product in products)))
    for x in range(width):
        products = seen.reach.products((height // 2, x))
        columns.append(masks.number(_union(product[1] for product in products)))
    return {"rows": rows, "columns": columns}


def _union(sets: Any) -> int:
    union = 0
    for bits in sets:
        union |= bits
    return union


def largest(products: Sequence[tuple[int, ...]]) -> list[Product]:
    """Leave out the products that lie within another: a shortcut's pixels are among those of its block."""
    kept: list[Product] = []
    for rows, columns in sorted(((p[0], p[1]) for p in products), key=_area, reverse=True):
        if not any(rows | r == r and columns | c == c for r, c in kept):
            kept.append((rows, columns))
    return kept


def _area(product: Product) -> tuple[int, int, int]:
    rows, columns = product
    return rows.bit_count() * columns.bit_count(), rows, columns
