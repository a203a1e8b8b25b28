"""The smallest changes that bring a network into its budget: one layer or two, each result analysed anew."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from rfcalc.analysis.analyze import analyze
from rfcalc.analysis.budget import Budget, Verdict, judge
from rfcalc.analysis.result import Analysis
from rfcalc.errors import RfcalcError
from rfcalc.questions.explain import dilated
from rfcalc.questions.refit import refit, resized
from rfcalc.trace.inputs import Input

__all__ = ["Suggestion", "Suggestions", "suggest"]

SECONDS = 60.0
"""After that no further change is tried."""

PAIRED = 12
"""Single changes that are tried in pairs: those that leave least of the budget broken."""

SHOWN = 10
"""Suggestions that are kept, the cheapest."""


@dataclass(frozen=True)
class Suggestion:
    """Changes after which every judged limit holds.

    Attributes:
        changes: Each as "layer: what", one or two.
        params: Of the changed network.
        macs: Of the changed network.
        receptive_field: The smaller of h and w; None where nothing is local.
        cost: Change of parameters and of MACs as shares of what they were, added up: what the suggestions
            are ranked by.
    """

    changes: tuple[str, ...]
    params: int
    macs: int
    receptive_field: int | None
    cost: float


@dataclass(frozen=True)
class Suggestions:
    """What was found.

    Attributes:
        found: The cheapest first; () where no change of one or two layers does it, or none is needed.
        tried: How many changed networks were analysed.
        needed: Whether a limit is broken at all.
        complete: False where the time ran out first.
    """

    found: tuple[Suggestion, ...]
    tried: int
    needed: bool
    complete: bool = True


@dataclass(frozen=True)
class _Change:
    layer: str
    text: str
    apply: Callable[[nn.Module], None]
    resizes: bool = False

    def __str__(self) -> str:
        return f"{self.layer}: {self.text}"


def suggest(
    model: nn.Module, analysis: Analysis, budget: Budget, *, train: bool = False, seconds: float = SECONDS
) -> Suggestions:
    """Find the smallest changes that bring a network into its budget.

    Dilation, kernel, stride and width of single convolutions are changed, then pairs of the most promising
    changes. The paddings keep the sizes of the maps, and layers behind a changed width are refitted. Only
    shapes are computed, on a copy; the model itself is not touched.

    Args:
        model: The analysed model.
        analysis: Of that model.
        budget: The limits.
        train: The mode of the analysis.
        seconds: After that no further change is tried.
    """
    if judge(analysis, budget).ok:
        return Suggestions((), 0, needed=False)
    bare = _bare(model)
    given, deadline = analysis.graph.given, time.monotonic() + seconds
    found: list[Suggestion] = []
    singles: list[tuple[float, _Change]] = []
    tried, complete = 0, True

    def attempt(changes: Sequence[_Change]) -> float | None:
        nonlocal tried
        other = _analysed(bare, given, changes, train, analysis.count_all)
        tried += 1
        if other is None:
            return None
        verdict = judge(other, budget)
        if verdict.ok:
            found.append(_suggestion(changes, analysis, other))
        return _short_by(verdict)

    for change in _changes(bare):
        if time.monotonic() > deadline:
            complete = False
            break
        short = attempt([change])
        if short:
            singles.append((short, change))
    if not found:
        singles.sort(key=lambda entry: entry[0])
        for one, other in itertools.combinations([change for _, change in singles[:PAIRED]], 2):
            if time.monotonic() > deadline:
                complete = False
                break
            if one.layer != other.layer:
                attempt([one, other])
    found.sort(key=lambda one: (len(one.changes), one.cost, one.changes))
    return Suggestions(tuple(found[:SHOWN]), tried, needed=True, complete=complete)


def _bare(model: nn.Module) -> nn.Module:
    """Return a copy without the content of its weights: a changed shape then costs nothing."""
    return copy.deepcopy(model).to("meta").eval()


def _analysed(
    bare: nn.Module, given: tuple[Input, ...], changes: Sequence[_Change], train: bool, count_all: bool
) -> Analysis | None:
    """Return the analysis of the changed network; None where it does not fit together."""
    try:
        other = copy.deepcopy(bare)
        for change in changes:
            change.apply(other.get_submodule(change.layer))
        # Where a width stays, the layers behind it fit as they are, unless they read a flattened map.
        if not any(change.resizes for change in changes):
            with suppress(RfcalcError):
                return analyze(other, input_size=given, train=train, count_all=count_all)
        refit(other, given)
        return analyze(other, input_size=given, train=train, count_all=count_all)
    except (RfcalcError, RuntimeError, ValueError, TypeError, AttributeError):
        return None  # what the model's own code does on other shapes is its own


def _suggestion(changes: Sequence[_Change], before: Analysis, after: Analysis) -> Suggestion:
    pairs = ((before.params, after.params), (before.macs, after.macs))
    cost = sum(abs(then - now) / now for now, then in pairs if now)
    seen = None if after.field_row is None else min(after.field.size)
    return Suggestion(tuple(map(str, changes)), after.params, after.macs, seen, round(cost, 6))


def _short_by(verdict: Verdict) -> float:
    """Return how much of the budget is broken: margins as shares of their limits, added up."""
    return sum(max(limit.margin or 0, 0) / max(int(limit.bound), 1) for limit in verdict.limits)


def _changes(model: nn.Module) -> Iterator[_Change]:
    """The changes of single convolutions that are small: a step of dilation, kernel, stride or width."""
    for name, module in model.named_modules():
        if not isinstance(module, _ConvNd) or module.transposed or isinstance(module.padding, str):
            continue
        if len(set(module.kernel_size)) > 1 or len(set(module.dilation)) > 1 or len(set(module.stride)) > 1:
            continue
        kernel, stride, dilation = module.kernel_size[0], module.stride[0], module.dilation[0]
        if kernel > 1:
            for then in {1, dilation + 1, dilation + 2, 2 * dilation} - {dilation}:
                yield _Change(name, f"dilation {dilation} to {then}", partial(_set_dilation, value=then))
        for then in (kernel - 2, kernel + 2):
            if then >= 1 and kernel % 2:
                yield _Change(name, f"kernel {kernel} to {then}", partial(_set_kernel, value=then))
        for then in {1, 2} - {stride}:
            yield _Change(name, f"stride {stride} to {then}", partial(_set_stride, value=then))
        if module.groups == 1:
            for then in _widths(module.out_channels):
                text = f"width {module.out_channels} to {then}"
                yield _Change(name, text, partial(resized, out_channels=then), resizes=True)


def _widths(now: int) -> list[int]:
    """Return narrower widths, in whole fours where there are many channels."""
    unit = 4 if now >= 16 else 1
    narrower = {unit * round(now * share / unit) for share in (0.95, 0.875, 0.75, 0.5)}
    return sorted(narrower - {0, now}, reverse=True)


def _set(module: Any, settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        setattr(module, name, value)


def _set_dilation(module: Any, value: int) -> None:
    _set(module, dilated(module, value))


def _set_stride(module: Any, value: int) -> None:
    module.stride = (value,) * len(module.stride)


def _set_kernel(module: Any, value: int) -> None:
    more = (value - module.kernel_size[0]) * module.dilation[0] // 2
    padding = tuple(max(0, p + more) for p in module.padding)
    axes = len(module.kernel_size)
    _set(
        module,
        {
            "kernel_size": (value,) * axes,
            "padding": padding,
            "_reversed_padding_repeated_twice": [p for p in padding[::-1] for _ in range(2)],
            "weight": nn.Parameter(
                torch.empty((*module.weight.shape[:2], *(value,) * axes), device="meta"),
                requires_grad=module.weight.requires_grad,
            ),
        },
    )
