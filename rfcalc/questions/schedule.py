"""A dilation schedule without holes: what to give the dilated layers of a path instead."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil, floor

from torch import nn
from torch.nn.modules.conv import _ConvNd

from rfcalc.analysis.analyze import analyze
from rfcalc.analysis.result import Analysis, Row
from rfcalc.errors import RfcalcError
from rfcalc.questions.explain import changed, dilated, path_to


@dataclass(frozen=True)
class Schedule:
    """Dilations that leave no holes, for the layers of these names; checked by an analysis of the network."""

    layers: tuple[str, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    size: tuple[int, ...]


@dataclass
class _Tap:
    """One layer of the path: `taps` samples, `dilation * jump` input pixels apart."""

    module: _ConvNd | None
    name: str
    taps: int
    jump: int
    dilation: int

    @property
    def extent(self) -> int:
        return (self.taps - 1) * self.dilation * self.jump


def close_holes(model: nn.Module, analysis: Analysis, row: Row, train: bool = False) -> Schedule | None:
    """Find dilations with which `row` has no holes and, where that can be had, sees at least as far.

    A layer with taps d * j apart (j: jump of its input) leaves no gap iff d * j <= 1 + what the layers before
    it span (the criterion of complete sequences). Along the path, each dilation is lowered to what that
    allows; then the last ones are raised again until the old extent is reached. The result is tried on the
    network itself.

    Returns:
        The schedule; None where dilation alone closes no hole, such as after a stride beyond the kernel.
    """
    chain = _chain(model, analysis, row)
    if chain is None:
        return None
    free = [tap for tap in chain if tap.module is not None and tap.dilation > 1]
    before = tuple(tap.dilation for tap in free)
    target = sum(tap.extent for tap in chain)
    for i, tap in enumerate(chain):
        allowed = _allowed(chain, i)
        if allowed < 1 or (tap.module is None and allowed < tap.dilation):
            return None
        tap.dilation = min(tap.dilation, allowed)
    for tap in reversed(free):
        missing = target - sum(other.extent for other in chain)
        if missing > 0:
            more = ceil(missing / ((tap.taps - 1) * tap.jump))
            tap.dilation = min(tap.dilation + more, _allowed(chain, chain.index(tap)))
    after = tuple(tap.dilation for tap in free)
    size = _tried(model, analysis, row, free, train)
    names = tuple(tap.name for tap in free)
    return Schedule(names, before, after, size) if free and size and after != before else None


def _chain(model: nn.Module, analysis: Analysis, row: Row) -> list[_Tap] | None:
    """The layers with more than one tap on the path to `row`, along its axis with the most missing pixels."""
    modules = dict(model.named_modules())
    sizes = row.field.size
    axis = max(range(len(sizes)), key=lambda k: sizes[k] - row.field.pixels[k])
    chain = []
    size, jump = 1, 1
    for step in path_to(analysis, row):
        field = step.field
        grown, size = field.size[axis] - size, field.size[axis]
        module = modules.get(analysis.graph.nodes[step.node].path)
        before, after = jump, field.jump[axis]
        if after is None or after.denominator != 1 or field.size_min != field.size:
            return None
        jump = int(after)
        if grown == 0:
            continue
        if isinstance(module, _ConvNd) and not module.transposed:
            tap = _Tap(module, step.name, module.kernel_size[axis], before, module.dilation[axis])
            if tap.extent != grown:
                return None
        else:
            tap = _Tap(None, step.name, grown // before + 1, before, 1)
        chain.append(tap)
    return chain


def _allowed(chain: Sequence[_Tap], i: int) -> int:
    span = sum(tap.extent for tap in chain[:i])
    return floor((1 + span) / chain[i].jump)


def _tried(
    model: nn.Module, analysis: Analysis, row: Row, free: Sequence[_Tap], train: bool
) -> tuple[int, ...] | None:
    with ExitStack() as stack:
        for tap in free:
            assert tap.module is not None
            stack.enter_context(changed(tap.module, dilated(tap.module, tap.dilation)))
        try:
            other = analyze(model, input_size=analysis.graph.given, train=train)
        except RfcalcError:
            return None
    same = [candidate for candidate in other.rows if candidate.name == row.name]
    return same[-1].field.size if same and "holes" not in same[-1].field.flags else None
