"""Run folders and networks side by side, and two of them layer by layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import TYPE_CHECKING

from records.run import RunRecord
from records.text import duration, shape
from reports import targets
from reports.errors import ReportError
from reports.tables.network import field_jump, field_size
from reports.tables.table import Cell, Column, Table, count, counts, millions, percent

if TYPE_CHECKING:
    from rfcalc import Analysis
    from rfcalc.analysis.view import Line


_MARKS = {"~": "changed", "-": "left", "+": "right"}
"""How a page marks the first cell of a layer that is not the same on both sides."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: its network as measured, and the record of its training where it has one."""

    name: str
    analysis: "Analysis | None"
    """None where the run folder holds no model.py."""
    record: RunRecord | None
    """None for a network that is no run folder."""


def look(given: str, input_size: tuple[int, ...] | None = None) -> Side:
    """Read a run folder, or load a network and analyse it.

    Args:
        given: What `reports.targets.resolve` takes.
        input_size: (C, H, W) for a network that does not say its own; a run folder brings its own.

    Raises:
        ReportError: The folder is no finished run.
        rfcalc.errors.RfcalcError: The target cannot be loaded or analysed.
    """
    named = targets.resolve(given, input_size)
    analysis = None if named.target is None else targets.measure(named)
    return Side(named.title, analysis, named.record)


def overview(sides: Sequence[Side]) -> Table:
    """Return a table of one row a fact and one column a side."""
    facts: dict[str, list[Cell]] = {}
    for side in sides:
        for name, value in _facts(side).items():
            facts.setdefault(name, []).append(value)
    columns = (Column(""), *(Column(side.name, number=True) for side in sides))
    known = {name: values for name, values in facts.items() if any(value is not None for value in values)}
    return Table("Side by side", columns, tuple((name, *values) for name, values in known.items()))


def layers(left: Side, right: Side) -> Table:
    """Return the layers of two networks side by side, matched in order by op, output shape and parameters.

    A layer that only one of them has gets a row of its own.

    Raises:
        ReportError: A side has no model.py to analyse.
    """
    columns = [Column("", mark=_MARKS.get)]
    for letter in "AB":
        columns += [Column(f"{letter}: layer"), Column("RF", number=True), counts("params")]
        columns.append(Column("MACs", millions, number=True))
    rows = tuple((_sign(a, b), *_cells(a), *_cells(b)) for a, b in _pairs(left, right))
    return Table(_caption(left, right), tuple(columns), rows)


def layers_below(left: Side, right: Side) -> Table:
    """Return the same as `layers` for a narrow terminal: of a pair that differs, B's layer is below A's.

    Raises:
        ReportError: A side has no model.py to analyse.
    """
    columns = (
        *(Column(""), Column("of"), Column("layer"), Column("output")),
        *(Column("RF", number=True), counts("params"), Column("MACs", millions, number=True)),
    )
    rows: list[tuple[Cell, ...]] = []
    for a, b in _pairs(left, right):
        sign = _sign(a, b)
        if a is not None and b is not None and sign == "=":
            names = dict.fromkeys((a.row.name, b.row.name))
            rows.append((sign, "A, B", *_below(a, " and ".join(names))))
        else:
            both = (("A", a), ("B", b))
            rows += [(sign, side, *_below(line, line.row.name)) for side, line in both if line is not None]
    return Table(_caption(left, right), columns, tuple(rows))


def _caption(left: Side, right: Side) -> str:
    return f"A is {left.name}, B is {right.name} (= the same, ~ changed, - only A, + only B)"


def _pairs(left: Side, right: Side) -> "list[tuple[Line | None, Line | None]]":
    from rfcalc.analysis.view import lines_of

    if left.analysis is None or right.analysis is None:
        missing = left if left.analysis is None else right
        raise ReportError(f"{missing.name} has no model.py: its layers are not known")
    one, other = lines_of(left.analysis), lines_of(right.analysis)
    matcher = SequenceMatcher(None, list(map(_kind, one)), list(map(_kind, other)), autojunk=False)
    pairs: list[tuple[Line | None, Line | None]] = []
    for _, i1, i2, j1, j2 in matcher.get_opcodes():
        # What was replaced is paired as far as both sides reach; what one side lacks gets rows of its own.
        pairs += zip_longest(one[i1:i2], other[j1:j2])
    return pairs


def _facts(side: Side) -> dict[str, Cell]:
    """Return every fact as text; a missing one is None, so that all sides have the same rows."""
    record, found = side.record, side.analysis
    field = found.field if found else None
    size = shape(found.input_size) if found else None
    accuracy, kind, epochs, time, data = None, None, None, None, None
    if record is not None:
        share = record.test_accuracy if record.test_accuracy is not None else record.val_accuracy
        accuracy = percent(share) if share is not None else None
        kind = (
            None
            if share is None
            else "test, n = 1"
            if record.test_accuracy is not None
            else "validation, n = 1"
        )
        epochs, time, data = str(len(record.epochs)), duration(record.seconds), record.dataset.title
    fallback = shape(record.receptive_field) if record else None
    return {
        "input": size,
        "receptive field": field_size(field) if field else fallback,
        "jump": field_jump(field) if field else None,
        "holes": ("yes" if "holes" in field.flags else "no") if field else None,
        "params": count(found.params if found else record.params if record else 0),
        "MACs": millions(found.macs if found else record.macs if record else 0),
        "peak activations": f"{found.peak_activation_bytes / 1000:,.0f} kB" if found else None,
        "accuracy": accuracy,
        "measured on": kind,
        "data set": data,
        "epochs": epochs,
        "wall time": time,
    }


def _kind(line: "Line") -> tuple[str, tuple[int, ...], int]:
    return line.row.op, line.row.output_shape, line.params


def _cells(line: "Line | None") -> tuple[Cell, ...]:
    if line is None:
        return (None,) * 4
    row = line.row
    what = f"{row.name}: {row.op} {shape(row.output_shape)}"
    return what, field_size(row.field), line.params, line.macs


def _below(line: "Line", name: str) -> tuple[Cell, ...]:
    row = line.row
    return f"{name}: {row.op}", shape(row.output_shape), field_size(row.field), line.params, line.macs


def _sign(left: "Line | None", right: "Line | None") -> str:
    if left is None or right is None:
        return "+" if left is None else "-"
    return "=" if _kind(left) == _kind(right) and left.row.field.size == right.row.field.size else "~"
