"""Why a layer sees what it sees: the path of its extent, what each layer adds, and what would change it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd

from rfcalc.analysis.analyze import analyze
from rfcalc.analysis.result import Analysis, Row
from rfcalc.errors import RfcalcError, UsageError
from rfcalc.text import nearest, per_axis

MOST_LAYERS = 64
"""What-ifs are worked out for this many layers, those that add most: each costs an analysis."""


@dataclass(frozen=True)
class Step:
    """One layer of the path: input pixels that it adds to the extent, for each axis."""

    row: Row
    adds: tuple[int, ...]


@dataclass(frozen=True)
class WhatIf:
    """One change of one layer, and what the network would be then.

    `size` is the receptive field of the explained layer; `problem` says why the changed network does not run,
    the figures are then None.
    """

    layer: str
    change: str
    size: tuple[int, ...] | None
    params: int | None
    macs: int | None
    problem: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why `row` has its receptive field.

    Attributes:
        row: The explained layer.
        steps: The layers from the input to it along which the extent is largest; what they add sums up to the
            extent less the one pixel that it starts from.
        what_ifs: Single changes of the layers on that path that add most.
        global_by: The first layer on the way that puts the whole image in view; "" for none.
    """

    row: Row
    steps: tuple[Step, ...]
    what_ifs: tuple[WhatIf, ...]
    global_by: str


def explain(
    model: nn.Module, analysis: Analysis, layer: str, *, train: bool = False, what_ifs: bool = True
) -> Explanation:
    """Explain one layer.

    Args:
        model: The analysed model; it is changed and changed back for the what-ifs.
        analysis: Of that model.
        layer: Name of a row, or of a module: its last row is explained then.
        train: The mode of the analysis.
        what_ifs: Whether to work out what single changes would do: one analysis each.

    Raises:
        UsageError: There is no such layer.
    """
    row = find_row(analysis, layer)
    path = path_to(analysis, row)
    steps = []
    before = (1,) * len(row.field.size)
    for current in path:
        steps.append(Step(current, tuple(b - a for a, b in zip(before, current.field.size, strict=True))))
        before = current.field.size
    most = sorted(steps, key=lambda step: math.prod(1 + abs(n) for n in step.adds), reverse=True)[
        :MOST_LAYERS
    ]
    changed_rows = sorted((step.row for step in most), key=lambda row: row.index)
    changes = tuple(_what_ifs(model, analysis, row, changed_rows, train)) if what_ifs else ()
    return Explanation(row, tuple(steps), changes, _global_by(analysis, row))


def find_row(analysis: Analysis, layer: str) -> Row:
    """The row of this name, or the last row inside the module of this name.

    Raises:
        UsageError: There is none; the message names the nearest.
    """
    named = [row for row in analysis.rows if row.name == layer]
    inside = [row for row in analysis.rows if row.name.startswith(f"{layer}.")]
    if named or inside:
        return (named or inside)[-1]
    raise UsageError(
        f"--explain {layer}: no such layer; {nearest(layer, {row.name for row in analysis.rows})}"
    )


def path_to(analysis: Analysis, row: Row) -> list[Row]:
    """The rows from the input to `row`; at every join, the operand that sees most."""
    path = [row]
    while path[-1].sources:
        sources = [analysis.rows[i] for i in path[-1].sources]
        path.append(max(sources, key=lambda source: (math.prod(source.field.size), source.index)))
    return path[::-1]


def _global_by(analysis: Analysis, row: Row) -> str:
    """The earliest global row that `row` depends on."""
    if not row.field.is_global:
        return ""
    seen, waiting = {row.index}, [row.index]
    while waiting:
        for source in analysis.rows[waiting.pop()].sources:
            if source not in seen and analysis.rows[source].field.is_global:
                seen.add(source)
                waiting.append(source)
    return analysis.rows[min(seen)].name


def _what_ifs(
    model: nn.Module, analysis: Analysis, row: Row, path: list[Row], train: bool
) -> Iterator[WhatIf]:
    modules = dict(model.named_modules())
    done = set()
    for step in path:
        name = analysis.graph.nodes[step.node].path
        module = modules.get(name)
        if module is None or name in done:
            continue
        done.add(name)
        for change, settings in _changes(module):
            with changed(module, settings):
                yield _measured(model, analysis, row, name, change, train)


def _measured(model: nn.Module, analysis: Analysis, row: Row, layer: str, change: str, train: bool) -> WhatIf:
    try:
        other = analyze(model, input_size=analysis.graph.given, train=train, count_all=analysis.count_all)
    except RfcalcError as error:
        return WhatIf(layer, change, None, None, None, str(error))
    same = [candidate for candidate in other.rows if candidate.name == row.name]
    size = same[-1].field.size if same else None
    return WhatIf(layer, change, size, other.params, other.macs)


def _changes(module: nn.Module) -> Iterator[tuple[str, dict[str, Any]]]:
    """The single changes worth a look: stride to 1, dilation to 1, to 2 or one more."""
    stride, dilation = getattr(module, "stride", None), getattr(module, "dilation", None)
    kernel = getattr(module, "kernel_size", None)
    if kernel is None or stride is None or getattr(module, "transposed", False):
        return
    if _largest(stride) > 1:
        yield f"stride {_text(stride)} to 1", {"stride": _like(stride, 1)}
    if not isinstance(module, _ConvNd) or _largest(kernel) == 1 or dilation is None:
        return
    now = _largest(dilation)
    for then in sorted({1, now + 1} - {now}):
        yield f"dilation {_text(dilation)} to {then}", dilated(module, then)


def dilated(module: _ConvNd, dilation: int) -> dict[str, Any]:
    """The settings that give a convolution another dilation and leave the size of its output as it is."""
    settings: dict[str, Any] = {"dilation": _like(module.dilation, dilation)}
    if not isinstance(module.padding, str):
        padding = tuple(
            p + (dilation - d) * (k - 1) // 2
            for p, d, k in zip(module.padding, module.dilation, module.kernel_size, strict=True)
        )
        settings["padding"] = tuple(max(0, p) for p in padding)
        # What F.pad takes where the padding is not zeros: last axis first, both sides.
        settings["_reversed_padding_repeated_twice"] = [p for p in padding[::-1] for _ in range(2)]
    return settings


@contextmanager
def changed(module: nn.Module, settings: dict[str, Any]) -> Iterator[None]:
    """Give a module other attributes for a while."""
    before = {name: getattr(module, name) for name in settings}
    try:
        for name, value in settings.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def _largest(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else max(value)


def _like(value: int | tuple[int, ...], number: int) -> int | tuple[int, ...]:
    return number if isinstance(value, int) else (number,) * len(value)


def _text(value: int | tuple[int, ...]) -> str:
    sizes = (value,) if isinstance(value, int) else value
    return per_axis(sizes)
