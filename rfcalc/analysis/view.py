"""The rows as a report shows them: norms, activations and dropout folded into the layer that they follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from rfcalc.analysis.result import Analysis, Row
from rfcalc.analysis.separable import FOLDED
from rfcalc.ops.call import Call
from rfcalc.ops.lookup import op_of
from rfcalc.ops.op import Kind
from rfcalc.ops.window import pool_settings, window_of

_POOLS = frozenset({Kind.MAX_POOL, Kind.AVERAGE_POOL})


@dataclass(frozen=True)
class WindowSettings:
    """What slides over a map: kernel, stride and dilation for each spatial axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1


@dataclass(frozen=True)
class Line:
    """One line of the report: a row and the rows folded into it, whose parameters it carries along.

    Attributes:
        row: The row.
        folded: Those that are folded into it.
        sigma: The row's effective receptive field, () where nobody asked for it.
        window: Kernel, stride, dilation and groups; None for an op without a window.
        total_params: Parameters of the whole network, for shares.
        total_macs: Its MACs.
    """

    row: Row
    folded: tuple[Row, ...] = ()
    sigma: tuple[float | None, ...] = ()
    window: WindowSettings | None = None
    total_params: int = 0
    total_macs: int = 0

    @property
    def params(self) -> int:
        """Parameters of the row and of what is folded into it, so that the lines add up to the total."""
        return self.row.params + sum(row.params for row in self.folded)

    @property
    def macs(self) -> int:
        """MACs, likewise."""
        return self.row.macs + sum(row.macs for row in self.folded)


def lines_of(
    analysis: Analysis, every_row: bool = False, sigmas: Sequence[tuple[float | None, ...]] = ()
) -> list[Line]:
    """Fold the rows into lines.

    A norm, activation or dropout joins the layer whose output it alone reads, if it leaves the receptive
    field as it is: a GroupNorm, which has the whole map in view, stays a line of its own.

    Args:
        analysis: The network.
        every_row: Fold nothing.
        sigmas: The effective receptive field of every row.
    """
    rows = analysis.rows
    spread = sigmas or ((),) * len(rows)

    def line(row: Row, folded: tuple[Row, ...] = ()) -> Line:
        window = _window(analysis, row)
        return Line(row, folded, spread[row.index], window, analysis.params, analysis.macs)

    if every_row:
        return [line(row) for row in rows]
    readers = [0] * len(rows)
    for row in rows:
        for source in set(row.sources):
            readers[source] += 1
    head: list[int] = []  # number of the row whose line each row is on
    folded: dict[int, list[Row]] = {}
    for row in rows:
        heads = {head[source] for source in row.sources}
        kind = op_of(analysis.graph.nodes[row.node]).kind
        at = heads.pop() if len(heads) == 1 and kind in FOLDED else None
        alone = all(readers[source] == 1 for source in row.sources)
        if at is not None and alone and row.field == rows[at].field:
            head.append(at)
            folded.setdefault(at, []).append(row)
        else:
            head.append(row.index)
    return [line(row, tuple(folded.get(row.index, ()))) for row in rows if head[row.index] == row.index]


def grown_fields(analysis: Analysis) -> tuple[tuple[str, int], ...]:
    """Return (layer, the largest receptive field up to it), the smaller of height and width, in input pixels.

    A shortcut runs after the branch that it goes round, and sees less: no step back of the network. Layers
    behind a global operation, which sees the whole image, are left out.
    """
    rows = [line.row for line in lines_of(analysis)]
    seen = [row for row in rows if row.field.size and not row.field.is_global]
    largest = accumulate((min(row.field.size) for row in seen), max)
    return tuple((row.name, size) for row, size in zip(seen, largest, strict=True))


def _window(analysis: Analysis, row: Row) -> WindowSettings | None:
    node = analysis.graph.nodes[row.node]
    window = window_of(analysis.graph, node)
    if window is not None:
        return WindowSettings(window.kernel, window.stride, window.dilation, window.groups)
    if op_of(node).kind in _POOLS and "adaptive" not in node.name and "pool" in node.name:
        kernel, stride, _, dilation = pool_settings(Call(node, analysis.graph, {}))
        return WindowSettings(kernel, stride, dilation)
    return None
