"""The field that a budget judges: the last feature map before global pooling or flattening."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rfcalc.maps.field import Field
from rfcalc.maps.readout import as_map, without_branches
from rfcalc.maps.state import State
from rfcalc.ops.lookup import op_of
from rfcalc.ops.op import Kind
from rfcalc.trace.graph import Node

if TYPE_CHECKING:
    from rfcalc.analysis.result import Row

__all__ = ["Judged", "is_nearly_global", "judge_last"]


@dataclass(frozen=True)
class Judged:
    """The last features.

    Attributes:
        field: Their field, as a map.
        row: Number of the row that made them.
        rivals: Numbers of other rows whose maps are last, too, and have another field.
    """

    field: Field
    row: int
    rivals: tuple[int, ...] = ()


def judge_last(
    rows: Sequence[Row],
    forms: Sequence[Sequence[State]],
    ends: Sequence[frozenset[int]],
    pools: Set[int],
    field_of: Callable[[State], Field],
) -> Judged | None:
    """Find the last features on the way to the output.

    A map that leads to a later map is not the last: a gate or a localisation branch ends in the map that it
    acts on. Where several maps are last (two branches that are pooled apart, several outputs), the trunk is
    the one with the largest field; of equal ones, the one that ran last. Without any map, the last row counts
    that no global operation has touched.

    Args:
        rows: All rows, in execution order.
        forms: For each row, the state of its output and those of views of it.
        ends: For each output of the network, the numbers of the rows that it comes from.
        pools: Numbers of the rows that are nearly global poolings; what is behind one of them alone is passed
            over, as what is behind a global one.
        field_of: Makes a state's field.

    Returns:
        None where nothing is local.
    """
    behind = _behind(rows, pools)
    reached = [index for index in _reached(rows, ends) if index not in behind]
    axes = len(rows[0].field.size) if rows else 0
    leads: set[int] = set()
    last: list[tuple[int, Field]] = []
    for index in reversed(reached):
        if index in leads:
            leads.update(rows[index].sources)
            continue
        field = _map_field(forms[index], axes, field_of)
        if field is not None:
            last.append((index, field))
            leads.update(rows[index].sources)
    if not last:
        local = [
            index for index in reached if not rows[index].field.is_global and any(rows[index].field.size)
        ]
        return Judged(rows[local[-1]].field, local[-1]) if local else None
    chosen, field = max(last, key=lambda entry: (min(entry[1].size), entry[0]))
    others = {(other.size, other.jump): index for index, other in last}
    others.pop((field.size, field.jump))
    return Judged(field, chosen, tuple(sorted(others.values())))


def _map_field(forms: Sequence[State], axes: int, field_of: Callable[[State], Field]) -> Field | None:
    """Return the field of a row as a map: its output, a view of it, or its places in rows and columns."""
    forms = [without_branches(state, axes) for state in forms]
    for state in (forms[0], *reversed(forms[1:])):
        used = state.position_atoms
        if sum(any(atom in used for atom in dim) for dim in state.dims) == axes:
            field = field_of(state)
            if _is_map(field):
                return field
    regrouped = as_map(forms[0], axes)
    if regrouped is None:
        return None
    field = field_of(regrouped)
    return field if _is_map(field) else None


def _is_map(field: Field) -> bool:
    """Return whether there is a unit for each place, and a constant step along some axis.

    A gate that brought the whole image in leaves a map whose local paths keep their step.
    """
    return len(field.positions) == len(field.size) and any(jump is not None for jump in field.jump)


def _behind(rows: Sequence[Row], pools: Set[int]) -> set[int]:
    """Return the poolings and the rows that read nothing but what is behind one of them."""
    behind: set[int] = set()
    for index, row in enumerate(rows):
        if index in pools or (row.sources and behind.issuperset(row.sources)):
            behind.add(index)
    return behind


def _reached(rows: Sequence[Row], ends: Sequence[frozenset[int]]) -> list[int]:
    """Return the rows on a way to an output, in execution order."""
    reached: set[int] = set()
    queue = sorted({row for end in ends for row in end})
    while queue:
        index = queue.pop()
        if index not in reached:
            reached.add(index)
            queue.extend(rows[index].sources)
    return sorted(reached)


def is_nearly_global(node: Node, rows: Sequence[Row], index: int) -> bool:
    """Return whether an average pool leaves one place of a map that its window does not cover."""
    row = rows[index]
    if op_of(node).kind is not Kind.AVERAGE_POOL or any(n > 1 for n in row.output_shape[1:]):
        return False
    return any(n > 1 for source in row.sources for n in rows[source].output_shape[1:])
