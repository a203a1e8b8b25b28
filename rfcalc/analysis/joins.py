"""Joins whose operands look at different places, and how far apart those are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from rfcalc.analysis.result import Analysis, Row
from rfcalc.maps.alignment import Shift, shifts
from rfcalc.maps.regroup import expanded, unified
from rfcalc.maps.state import State
from rfcalc.ops.call import Call
from rfcalc.ops.lookup import op_of
from rfcalc.ops.movement import channel_parts
from rfcalc.ops.propagate import propagate
from rfcalc.trace.graph import Graph

__all__ = ["MisalignedJoin", "Operand", "misaligned_joins"]


@dataclass(frozen=True)
class Operand:
    """One operand of a join.

    Attributes:
        name: Name of the row that made it; "the input".
        shifts: Against the join's first operand, for each axis; None where there is no periodic centre.
    """

    name: str
    shifts: tuple[Shift | None, ...]

    @property
    def drifts(self) -> bool:
        """Whether its jump differs from that of the first operand, along any axis."""
        return any(shift is not None and shift.drifts for shift in self.shifts)


@dataclass(frozen=True)
class MisalignedJoin:
    """An elementwise op or a concatenation along channels whose operands have not the same centres.

    Attributes:
        row: The join.
        first: Name of the operand that the others are compared with.
        others: Those that are shifted against it.
    """

    row: Row
    first: str
    others: tuple[Operand, ...]

    @property
    def jumps(self) -> tuple[Fraction, Fraction] | None:
        """Jumps of the first operand and of one that drifts away from it; None where none does."""
        drifting = [s for other in self.others for s in other.shifts if s is not None and s.drifts]
        return drifting[0].jumps if drifting else None


def misaligned_joins(analysis: Analysis) -> Iterator[MisalignedJoin]:
    """Find the joins where the misalignment comes about; what only passes it on is not among them."""
    if not any("misaligned" in row.field.flags for row in analysis.rows):
        return
    graph = analysis.graph
    states = propagate(graph)
    rows = {row.node: row for row in analysis.rows}
    for row in analysis.rows:
        if "misaligned" not in row.field.flags:
            continue
        operands = _operands(Call(graph.nodes[row.node], graph, states))
        if len(operands) < 2:
            continue
        (value, first), *rest = operands
        others = []
        for other, state in rest:
            one, two = unified(first, state)
            operand = Operand(_name(graph, rows, other), shifts(one.paths, two.paths))
            if any(shift is not None and not shift.is_aligned for shift in operand.shifts):
                others.append(operand)
        if others:
            yield MisalignedJoin(row, _name(graph, rows, value), tuple(others))


def _operands(call: Call) -> list[tuple[int, State]]:
    """Return the number of each operand that depends on the input, and its state in the result's shape."""
    shape = call.shape()
    reads = [value for value in call.node.reads if call.states[value].paths]
    if op_of(call.node).rule is Call.pointwise:
        return [(value, expanded(call.states[value], shape)) for value in reads]
    if call.node.name in ("cat", "concat"):
        parts = channel_parts(call)
        return [(ref.value, expanded(part, shape)) for ref, part in parts if part.paths]
    return []


def _name(graph: Graph, rows: dict[int, Row], value: int) -> str:
    """Return the name of the row that a value comes from, through views."""
    while value != graph.input:
        node = graph.producer(value)
        if node is None or not node.reads:
            break
        if node.index in rows:
            return rows[node.index].name
        value = node.reads[0]
    return "the input"
