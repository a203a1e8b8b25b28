"""Lines put together by module, `--depth N`: a subtotal for each, and one line for what repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from rfcalc.analysis.view import Line
from rfcalc.text import plural

__all__ = ["grouped"]


def grouped(lines: Sequence[Line], depth: int) -> list[Line]:
    """Return a line for each module at a depth, whose figures are sums, and fold modules that repeat.

    A module's field and output are those of its last layer. Modules in a row repeat where they have the same
    layers with the same settings, outputs, parameters and MACs; the line of the first to the last says how
    many they are ("(x 8)") and has the sums of all.

    Args:
        lines: In execution order.
        depth: Parts of the path that tell modules apart, from 1.
    """
    groups = [list(group) for _, group in groupby(lines, key=lambda line: _module(line, depth))]
    folded = [list(alike) for _, alike in groupby(groups, key=_signature)]
    return [_folded(alike, depth) for alike in folded]


def _module(line: Line, depth: int) -> str:
    return ".".join(line.row.name.split("#")[0].split(".")[:depth])


def _signature(group: Sequence[Line]) -> tuple[object, ...]:
    return tuple((line.row.op, line.window, line.row.output_shape, line.params, line.macs) for line in group)


def _folded(alike: Sequence[Sequence[Line]], depth: int) -> Line:
    lines = [line for group in alike for line in group]
    if len(lines) == 1:
        return lines[0]
    first, last = _module(lines[0], depth), _module(lines[-1], depth)
    times = f" (x {len(alike)})" if len(alike) > 1 else ""
    row = replace(
        lines[-1].row,
        name=f"{first} .. {last.rpartition('.')[2]}{times}" if times else first,
        op=lines[0].row.op if len(alike[0]) == 1 else plural(len(alike[0]), "layer"),
        module="",
        params=sum(line.params for line in lines),
        macs=sum(line.macs for line in lines),
    )
    window = lines[0].window if len(alike[0]) == 1 else None
    return Line(row, (), lines[-1].sigma, window, lines[-1].total_params, lines[-1].total_macs)
