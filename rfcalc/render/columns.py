"""The visible table of columns: what each is called, what it says, and how one cell of it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rfcalc.errors import UsageError
from rfcalc.text import decimal, human, human_bytes, nearest, per_axis, percent, shape

if TYPE_CHECKING:
    from rfcalc.analysis.view import Line, WindowSettings
    from rfcalc.maps.field import Field


@dataclass(frozen=True)
class Column:
    """One column of the report.

    Attributes:
        name: What --columns calls it; also its header.
        meaning: What it says, in a line.
        cell: The text of one cell; "" where there is nothing to say.
        data: The cell as CSV has it: plain numbers, no separators; None: as `cell`.
        number: Whether it is set flush right.
        rank: What a narrow terminal keeps: the lowest ranks stay longest; None: shown only when asked for.
    """

    name: str
    meaning: str
    cell: Callable[[Line], str]
    data: Callable[[Line], str] | None = None
    number: bool = True
    rank: int | None = None

    def plain(self, line: Line) -> str:
        """The cell for a program."""
        return (self.data or self.cell)(line)


def sizes(field: Field) -> str:
    """The local extent of a field: "13", "3x5", "3..5" over phases."""
    return per_axis(
        [
            str(largest) if smallest == largest else f"{smallest}..{largest}"
            for smallest, largest in zip(field.size_min, field.size, strict=True)
        ]
    )


def extent(field: Field) -> str:
    """The receptive field as one cell: its local extent, "image (13)" behind a global operation."""
    return f"image ({sizes(field)})" if field.is_global else sizes(field)


def _holes(line: Line) -> str:
    field = line.row.field
    if "holes" not in field.flags:
        return ""
    texts = [f"{size - seen}/{size}" for size, seen in zip(field.size, field.pixels, strict=True)]
    return per_axis(texts)


def _worst_share(line: Line) -> float:
    from rfcalc.analysis.coverage import worst_share  # imports torch, which --columns must not

    return worst_share(line.row.field)


def _share(line: Line) -> str:
    return percent(_worst_share(line))


def _exact_share(line: Line) -> str:
    return f"{_worst_share(line):.6g}"


def _erf(line: Line) -> str:
    return per_axis(["-" if value is None else f"{value:.2f}" for value in line.sigma]) if line.sigma else ""


def _missing(line: Line) -> str:
    field = line.row.field
    return per_axis([size - seen for size, seen in zip(field.size, field.pixels, strict=True)])


def _flags(line: Line) -> str:
    return ", ".join(sorted(line.row.field.flags - {"holes"}))


def _all_flags(line: Line) -> str:
    field = line.row.field
    return ", ".join(sorted(field.flags | ({"global"} if field.is_global else set())))


def _count(number: int) -> str:
    return human(number) if number else ""


def _bytes(number: int) -> str:
    return human_bytes(number) if number else ""


_BAR = 6
"""Characters of a full bar."""

_EIGHTHS = " ▏▎▍▌▋▊▉"


def _bar(part: int, whole: int) -> str:
    """Draw a share as a bar, an eighth of a character at least where there is anything."""
    if not part or not whole:
        return ""
    full, rest = divmod(max(round(8 * _BAR * part / whole), 1), 8)
    return "█" * full + _EIGHTHS[rest].strip()


def _of(part: int, whole: int) -> str:
    return f"{part / whole:.6g}" if whole else "0"


def _windowed(read: Callable[[WindowSettings], Sequence[int]], least: int = 0) -> Callable[[Line], str]:
    """Return the cell of one setting; "" where the op has none, or none above `least` along any axis."""

    def cell(line: Line) -> str:
        values = read(line.window) if line.window else ()
        return per_axis(values) if values and max(values) > least else ""

    return cell


def _setting(read: Callable[[WindowSettings], Sequence[int]]) -> Callable[[Line], str]:
    return lambda line: per_axis(read(line.window)) if line.window else ""


def _table() -> tuple[Column, ...]:
    return (
        Column("layer", "module path; #2: its second call", lambda line: line.row.name, number=False, rank=0),
        Column("op", "what it does", lambda line: line.row.op, number=False, rank=5),
        Column("k", "kernel", _windowed(lambda window: window.kernel), rank=6),
        Column("s", "stride", _windowed(lambda window: window.stride), rank=7),
        Column(
            "d",
            "dilation, where it is above 1",
            _windowed(lambda window: window.dilation, 1),
            _setting(lambda window: window.dilation),
            rank=8,
        ),
        Column(
            "g",
            "groups, where there are several",
            _windowed(lambda window: (window.groups,), 1),
            _setting(lambda window: (window.groups,)),
            rank=9,
        ),
        Column("output", "shape, without the batch", lambda line: shape(line.row.output_shape), rank=2),
        Column(
            "rf",
            "receptive field in input pixels, h x w; a..b over phases",
            lambda line: extent(line.row.field),
            lambda line: per_axis(line.row.field.size),
            rank=1,
        ),
        Column("jump", "input pixels per output step", lambda line: per_axis(line.row.field.jump), rank=11),
        Column(
            "start", "first pixel that output 0 sees", lambda line: per_axis(line.row.field.start), rank=16
        ),
        Column(
            "centre",
            "middle of what output 0 sees; pixel i has its centre at i",
            lambda line: per_axis([decimal(value) for value in line.row.field.centre]),
        ),
        Column("erf", "effective receptive field: sigma in input pixels, closed form", _erf, rank=None),
        Column("holes", "pixels in the field that are never seen, of its extent", _holes, _missing, rank=10),
        Column(
            "share", "share of the image that the unit sees which sees least", _share, _exact_share, rank=13
        ),
        Column(
            "params",
            "parameters, those of folded norms too",
            lambda line: _count(line.params),
            lambda line: str(line.params),
            rank=3,
        ),
        Column(
            "of-params",
            "share of all parameters",
            lambda line: _bar(line.params, line.total_params),
            lambda line: _of(line.params, line.total_params),
            number=False,
            rank=14,
        ),
        Column(
            "macs",
            "multiply-accumulates for one image",
            lambda line: _count(line.macs),
            lambda line: str(line.macs),
            rank=4,
        ),
        Column(
            "of-macs",
            "share of all MACs",
            lambda line: _bar(line.macs, line.total_macs),
            lambda line: _of(line.macs, line.total_macs),
            number=False,
            rank=15,
        ),
        Column(
            "memory",
            "bytes of the output of one image, float32",
            lambda line: _bytes(line.row.activation_bytes),
            lambda line: str(line.row.activation_bytes),
            rank=17,
        ),
        Column("module", "class of the module", lambda line: line.row.module, number=False),
        Column("flags", "what else is true of the field", _flags, _all_flags, number=False, rank=12),
    )


_ERF_RANK = 4
COLUMNS = {column.name: column for column in _table()}


def chosen(names: Sequence[str]) -> list[Column]:
    """The columns of these names, in this order.

    Raises:
        UsageError: There is no such column.
    """
    for name in names:
        if name not in COLUMNS:
            raise UsageError(f"--columns: no column {name!r}; {nearest(name, COLUMNS)}")
    return [COLUMNS[name] for name in names]


def default_columns(erf: bool = False) -> list[Column]:
    """The columns that a report has when nobody chooses, with or without the effective receptive field."""
    columns = [
        replace(column, rank=_ERF_RANK) if column.name == "erf" and erf else column
        for column in COLUMNS.values()
    ]
    return [column for column in columns if column.rank is not None]


_LATER = ("k", "s", "d", "g", "of-params", "of-macs", "memory")
"""Columns that CSV got after its first release: behind the others, as readers may count columns."""


def for_readers(columns: Sequence[Column]) -> list[Column]:
    """The columns in the order that CSV has them."""
    return sorted(columns, key=lambda column: column.name in _LATER)
