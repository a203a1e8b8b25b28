"""The visible table of columns: what each is called, what it says, and how one cell of it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rfcalc.errors import UsageError
from rfcalc.text import decimal, nearest, per_axis, percent, shape

if TYPE_CHECKING:
    from rfcalc.analysis.view import Line
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
    return f"{number:,}" if number else ""


def _table() -> tuple[Column, ...]:
    return (
        Column("layer", "module path; #2: its second call", lambda line: line.row.name, number=False, rank=0),
        Column("op", "what it does", lambda line: line.row.op, number=False, rank=4),
        Column("output", "shape, without the batch", lambda line: shape(line.row.output_shape), rank=7),
        Column(
            "rf",
            "receptive field in input pixels, h x w; a..b over phases",
            lambda line: extent(line.row.field),
            lambda line: per_axis(line.row.field.size),
            rank=1,
        ),
        Column("jump", "input pixels per output step", lambda line: per_axis(line.row.field.jump), rank=5),
        Column(
            "start", "first pixel that output 0 sees", lambda line: per_axis(line.row.field.start), rank=10
        ),
        Column(
            "centre",
            "middle of what output 0 sees; pixel i has its centre at i",
            lambda line: per_axis([decimal(value) for value in line.row.field.centre]),
        ),
        Column("erf", "effective receptive field: sigma in input pixels, closed form", _erf, rank=None),
        Column("holes", "pixels in the field that are never seen, of its extent", _holes, _missing, rank=6),
        Column(
            "share", "share of the image that the unit sees which sees least", _share, _exact_share, rank=9
        ),
        Column(
            "params",
            "parameters, those of folded norms too",
            lambda line: _count(line.params),
            lambda line: str(line.params),
            rank=2,
        ),
        Column(
            "macs",
            "multiply-accumulates for one image",
            lambda line: _count(line.macs),
            lambda line: str(line.macs),
            rank=3,
        ),
        Column(
            "memory",
            "bytes of the output of one image, float32",
            lambda line: _count(line.row.activation_bytes),
            lambda line: str(line.row.activation_bytes),
        ),
        Column("module", "class of the module", lambda line: line.row.module, number=False),
        Column("flags", "what else is true of the field", _flags, _all_flags, number=False, rank=8),
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
