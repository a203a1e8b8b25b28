"""The tables of a network, by stage and by layer, from what rfcalc measures of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from records.text import shape
from reports.tables.table import Column, Table, counts, millions
from rfcalc.render.columns import sizes
from rfcalc.render.limits import limit_texts
from rfcalc.text import per_axis

if TYPE_CHECKING:
    from rfcalc.analysis.budget import Verdict
    from rfcalc.analysis.result import Analysis, Row
    from rfcalc.maps.field import Field


@dataclass(frozen=True)
class Stage:
    """The layers of one top-level child of the network, in the order in which they run."""

    name: str
    rows: tuple["Row", ...]
    judged: "Row | None"
    """The row whose receptive field the budget judges, where it is one of these."""

    @property
    def last(self) -> "Row":
        """The row whose output leaves the stage."""
        return self.rows[-1]

    @property
    def params(self) -> int:
        """Parameters of the stage."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the stage, per image."""
        return sum(row.macs for row in self.rows)


def stages(analysis: "Analysis") -> tuple[Stage, ...]:
    """Group the rows by top-level child; neighbours of the same child form a stage."""
    found = []
    for name, rows in groupby(analysis.rows, key=lambda row: row.name.split(".")[0].split("#")[0]):
        group = tuple(rows)
        judged = next((row for row in group if row.index == analysis.field_row), None)
        found.append(Stage(name, group, judged))
    return tuple(found)


def layers(analysis: "Analysis") -> Table:
    """One row a layer; norms and activations are on the line of what they follow, as in rfcalc's own."""
    from rfcalc.analysis.view import lines_of

    columns = (
        Column("layer"),
        Column("op"),
        Column("output"),
        Column("RF", number=True),
        Column("jump", number=True),
        counts("params"),
        Column("MACs", millions, number=True),
        Column("followed by"),
        Column("remarks"),
    )
    cells = []
    for line in lines_of(analysis):
        row, followed = line.row, ", ".join(each.op for each in line.folded)
        place = (row.name, row.op, shape(row.output_shape), field_size(row.field), field_jump(row.field))
        cells.append((*place, line.params, line.macs, followed, ", ".join(sorted(row.field.flags))))
    return Table("Layer by layer", columns, tuple(cells))


def overview(found: Sequence[Stage]) -> Table:
    """One row a stage."""
    columns = (
        Column("stage"),
        counts("layers"),
        Column("output"),
        Column("RF", number=True),
        Column("jump", number=True),
        counts("params"),
        Column("MACs", millions, number=True),
    )
    rows = tuple(
        (
            *(stage.name, len(stage.rows), shape(stage.last.output_shape), field_size(stage.last.field)),
            *(field_jump(stage.last.field), stage.params, stage.macs),
        )
        for stage in found
    )
    return Table("Stage by stage", columns, rows)


def limits(verdict: "Verdict", source: str) -> Table:
    """Return one row a limit of a budget, in the words of `python -m rfcalc`."""
    marks = {"held": "yes", "BROKEN": "no", "not judged": "unknown"}
    columns = (
        Column("limit"),
        Column("verdict", mark=marks.get),
        Column("network has", number=True),
        Column("required", number=True),
        Column("room", number=True),
        Column("where"),
    )
    rows = []
    for limit in verdict.limits:
        state, name, value, bound, room, where = limit_texts(limit)
        rows.append((name, state, value, bound, room or None, where or None))
    return Table(f"Limit by limit, of {source}", columns, tuple(rows))


def field_size(field: "Field") -> str:
    """Show a receptive field: "61", "61x53", "17..21" over phases, or "whole image" where it is global."""
    return "whole image" if field.is_global else sizes(field)


def field_jump(field: "Field") -> str | None:
    """Show the input pixels between neighbouring units: "4", "2x4", "1/2"; None where they vary."""
    if any(step is None for step in field.jump):
        return None
    return per_axis(field.jump)
