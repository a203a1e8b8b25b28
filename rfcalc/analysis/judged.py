"""Which row the budget judges: the last features before global pooling or flattening."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from rfcalc.ops.lookup import op_of
from rfcalc.ops.op import Kind
from rfcalc.trace.graph import Node

if TYPE_CHECKING:
    from rfcalc.analysis.analyze import Row

__all__ = ["is_nearly_global", "judged_row"]


def judged_row(rows: Sequence[Row], pools: Set[int], ends: list[frozenset[int]]) -> int | None:
    """Return the row of the last features before global pooling or flattening, on the way to the output.

    Walked from the output backwards: the last row in execution order that is a local map, or, where a gate
    brought the whole image in, a map that still has local paths (its jump tells). What is behind a nearly
    global pooling alone is passed over as what is behind a global one.
    """
    behind: set[int] = set()
    for row in rows:
        if row.index in pools or (row.sources and behind.issuperset(row.sources)):
            behind.add(row.index)
    reached: set[int] = set()
    queue = sorted({r for end in ends for r in end})
    while queue:
        index = queue.pop()
        if index not in reached:
            reached.add(index)
            queue.extend(rows[index].sources)
    candidates = sorted(reached - behind, reverse=True)
    for index in candidates:
        field = rows[index].field
        if any(jump is not None for jump in field.jump) and len(field.positions) == len(field.size):
            return index
    for index in candidates:
        if not rows[index].field.is_global and any(rows[index].field.size):
            return index
    return None


def is_nearly_global(node: Node, rows: Sequence[Row], index: int) -> bool:
    """Return whether an average pool leaves one place of a map that its window does not cover."""
    row = rows[index]
    if op_of(node).kind is not Kind.AVERAGE_POOL or any(n > 1 for n in row.output_shape[1:]):
        return False
    return any(n > 1 for source in row.sources for n in rows[source].output_shape[1:])
