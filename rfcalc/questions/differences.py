"""What differs between two networks, line by line, aligned by structure rather than by name alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rfcalc.analysis.result import Analysis
from rfcalc.analysis.view import Line, lines_of
from rfcalc.text import per_axis, shape

__all__ = ["Difference", "differences"]

_GONE = 1.0
"""Cost of a line that one side alone has; two lines of different ops are never one."""


@dataclass(frozen=True)
class Difference:
    """One line of the comparison.

    Attributes:
        state: "same", "changed", "added" (in the second network alone) or "removed".
        before: None where it is added.
        after: None where it is removed.
        changes: What of it changed: "k 3 to 5", "output 32x16x16 to 48x16x16".
    """

    state: str
    before: Line | None
    after: Line | None
    changes: tuple[str, ...] = ()


def differences(before: Analysis, after: Analysis) -> list[Difference]:
    """Align the lines of two networks, at the least cost, and say what changed (Needleman and Wunsch, 1970).

    Two lines can be one where they do the same op; it costs more the more of kernel, stride, dilation,
    groups, channels and name differ, so that a layer that was put in between leaves the others paired, also
    where all names behind it are shifted.
    """
    old, new = lines_of(before), lines_of(after)
    return [_difference(old, new, i, j) for i, j in _aligned(old, new)]


def _aligned(old: Sequence[Line], new: Sequence[Line]) -> list[tuple[int | None, int | None]]:
    rows, columns = len(old) + 1, len(new) + 1
    # cost[i][j]: of the first i lines of one and the first j of the other.
    cost = [[_GONE * (i + j) if not i or not j else 0.0 for j in range(columns)] for i in range(rows)]
    for i in range(1, rows):
        for j in range(1, columns):
            gone = min(cost[i - 1][j], cost[i][j - 1]) + _GONE
            distance = _distance(old[i - 1], new[j - 1])
            cost[i][j] = gone if distance is None else min(gone, cost[i - 1][j - 1] + distance)
    pairs: list[tuple[int | None, int | None]] = []
    i, j = rows - 1, columns - 1
    while i or j:
        distance = _distance(old[i - 1], new[j - 1]) if i and j else None
        if distance is not None and cost[i][j] == cost[i - 1][j - 1] + distance:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and (not j or cost[i][j] == cost[i - 1][j] + _GONE):
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs[::-1]


def _distance(old: Line, new: Line) -> float | None:
    """Return the cost of taking two lines for one; None: they cannot be one."""
    if old.row.op != new.row.op:
        return None
    settings = old.window != new.window
    channels = old.row.output_shape[:1] != new.row.output_shape[:1]
    return 0.5 * settings + 0.25 * channels + 0.2 * (old.row.name != new.row.name)


def _difference(old: Sequence[Line], new: Sequence[Line], i: int | None, j: int | None) -> Difference:
    before, after = None if i is None else old[i], None if j is None else new[j]
    if before is None or after is None:
        return Difference("added" if before is None else "removed", before, after)
    changes = tuple(_changes(before, after))
    return Difference("changed" if changes else "same", before, after, changes)


def _changes(before: Line, after: Line) -> list[str]:
    pairs = [("name", before.row.name, after.row.name)]
    old, new = before.window, after.window
    if old is not None and new is not None:
        pairs += [
            ("k", per_axis(old.kernel), per_axis(new.kernel)),
            ("s", per_axis(old.stride), per_axis(new.stride)),
            ("d", per_axis(old.dilation), per_axis(new.dilation)),
            ("g", str(old.groups), str(new.groups)),
        ]
    pairs += [
        ("output", shape(before.row.output_shape), shape(after.row.output_shape)),
        ("rf", per_axis(before.row.field.size), per_axis(after.row.field.size)),
        ("params", f"{before.params:,}", f"{after.params:,}"),
        ("macs", f"{before.macs:,}", f"{after.macs:,}"),
    ]
    return [f"{what} {was} to {now}" for what, was, now in pairs if was != now]
