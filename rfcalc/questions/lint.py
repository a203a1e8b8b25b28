"""What in a network's geometry is likely a mistake: each check is one function, `Analysis` -> findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, prod

import torch
from torch import nn

from rfcalc.analysis.coverage import local_part, seen_counts, unseen_pixels
from rfcalc.analysis.joins import MisalignedJoin, misaligned_joins
from rfcalc.analysis.result import Analysis, Row
from rfcalc.maps.alignment import Shift
from rfcalc.ops.window import Window, window_of
from rfcalc.questions.explain import path_to
from rfcalc.questions.schedule import close_holes
from rfcalc.text import decimal, listed, per_axis, shape


@dataclass(frozen=True)
class Finding:
    """One thing to look at.

    Attributes:
        check: "holes", "ignored pixels", "checkerboard", "dead outputs", "misaligned" or "idle".
        layer: Name of the row.
        message: What is so, with its numbers.
        advice: A change that removes it; "" where none holds in general.
    """

    check: str
    layer: str
    message: str
    advice: str = ""


def lint(model: nn.Module, analysis: Analysis, *, train: bool = False) -> tuple[Finding, ...]:
    """Run every check.

    Args:
        model: The analysed model; it is changed and changed back to try a dilation schedule.
        analysis: Of that model.
        train: The mode of the analysis.
    """
    found = list(holes(model, analysis, train))
    for check in CHECKS:
        found += check(analysis)
    return tuple(found)


def holes(model: nn.Module, analysis: Analysis, train: bool = False) -> Iterator[Finding]:
    """The first layer that skips pixels inside of its field, and dilations that would not."""
    if analysis.field_row is None:
        return
    last = analysis.rows[analysis.field_row]
    first = next((row for row in path_to(analysis, last) if "holes" in row.field.flags), None)
    if first is None:
        return
    field = first.field
    seen = per_axis([f"{n} of {size}" for n, size in zip(field.pixels, field.size, strict=True)])
    still = (
        "the last features have holes, too" if "holes" in last.field.flags else "later layers close the holes"
    )
    goal = last if "holes" in last.field.flags else first
    schedule = close_holes(model, analysis, goal, train)
    advice = ""
    if schedule:
        old, new = per_axis(goal.field.size), per_axis(schedule.size)
        advice = (
            f"dilation {_joined(schedule.after)} instead of {_joined(schedule.before)} at "
            f"{_joined(schedule.layers)} leaves none at {goal.name}, which then sees {new} px, now {old}"
        )
    elif _window_is_dense(analysis, first):
        advice = "an earlier stride is larger than its kernel: enlarge that kernel, or stride later"
    yield Finding("holes", first.name, f"sees {seen} pixels in a row of its field; {still}", advice)


def _window_is_dense(analysis: Analysis, row: Row) -> bool:
    window = window_of(analysis.graph, analysis.graph.nodes[row.node])
    return window is not None and max(window.dilation) == 1


def _joined(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def ignored_pixels(analysis: Analysis) -> Iterator[Finding]:
    """Pixels of the image that no unit of the last features sees, and the first layer that loses any."""
    if analysis.field_row is None:
        return
    last = analysis.rows[analysis.field_row]
    unseen, pixels = unseen_pixels(last.field), prod(analysis.input_size[1:])
    if unseen:
        first = next(row for row in path_to(analysis, last) if unseen_pixels(row.field))
        yield Finding(
            "ignored pixels",
            first.name,
            f"{unseen:,} of {pixels:,} pixels of the image ({100 * unseen / pixels:.3g} %) reach no unit of "
            f"{last.name}; this layer is the first to lose any",
            "a kernel at least as large as the stride, or padding for the last window, sees them",
        )


def transposed(analysis: Analysis) -> Iterator[Finding]:
    """Transposed convolutions with outputs that see nothing (k < s, gcd(s, d) > 1) or differ (k % s)."""
    for row, window in _windows(analysis):
        if not window.transposed:
            continue
        settings = list(zip(window.kernel, window.stride, window.dilation, strict=True))
        kernel, stride = per_axis(window.kernel), per_axis(window.stride)
        even = per_axis([s * ceil(k / s) for k, s, _ in settings])
        dead = 1 - prod((_alive(*axis) for axis in settings), start=Fraction(1))
        if dead:
            dilation = per_axis(window.dilation)
            yield Finding(
                "dead outputs",
                row.name,
                f"{_percent(dead)} of its outputs see nothing but the bias: "
                f"kernel {kernel}, stride {stride}, dilation {dilation}",
                f"kernel {even} with dilation 1 reaches all",
            )
        elif any(k % s for k, s, _ in settings):
            yield Finding(
                "checkerboard",
                row.name,
                f"kernel {kernel} is no multiple of stride {stride}: its outputs take turns in having more "
                "and fewer taps",
                f"kernel {even}, or upsampling and a convolution",
            )


def _alive(kernel: int, stride: int, dilation: int) -> Fraction:
    """The share of outputs along one axis that have a tap at all."""
    return Fraction(len({(dilation * t) % stride for t in range(kernel)}), stride)


def misaligned(analysis: Analysis) -> Iterator[Finding]:
    """Joins whose operands look at different places: by how many pixels of the image.

    Joins with the same shifts are one finding: a window transformer repeats them in every block.
    """
    alike: dict[tuple[object, str], list[MisalignedJoin]] = {}
    for join in misaligned_joins(analysis):
        shifted = _joined(_shift_text(other.shifts) for other in join.others)
        alike.setdefault((join.jumps, shifted), []).append(join)
    for join, *more in alike.values():
        if join.jumps is None:
            shifted = _joined(f"{other.name} {_shift_text(other.shifts)}" for other in join.others)
            message = f"shifted against {join.first}: {shifted}"
        else:
            steps = [
                f"{join.first} {join.jumps[0]}",
                *(f"{o.name} {per_axis([s and s.jumps[1] for s in o.shifts])}" for o in join.others),
            ]
            message = f"its operands drift apart, their steps differ: {_joined(steps)}"
        if more:
            message += f"; the same at {_some(other.row for other in more)}"
        yield Finding("misaligned", join.row.name, message)


def _shift_text(shifts: Sequence[Shift | None]) -> str:
    """Say how far: "by -0.5 px", or "by up to 0.5 px (-0.5..0.5 over the phases, 0 on average)"."""
    known = [shift for shift in shifts if shift is not None]
    ranges = per_axis([None if s is None else _range(s) for s in shifts])
    if all(shift.low == shift.high for shift in known):
        return f"by {ranges} px"
    mean = per_axis([None if s is None else decimal(s.mean) for s in shifts])
    return (
        f"by up to {decimal(max(s.largest for s in known))} px ({ranges} over the phases, {mean} on average)"
    )


def _range(shift: Shift) -> str:
    low, high = decimal(shift.low), decimal(shift.high)
    return low if low == high else f"{low}..{high}"


def idle(analysis: Analysis) -> Iterator[Finding]:
    """Layers whose kernel adds no pixel: one tap alone sees all that the output sees.

    Judged by the paths that avoid global operations, as the extent is: behind a squeeze-and-excite gate every
    layer would be one otherwise. Layers with no such path are left out.
    """
    size = shape(analysis.input_size[1:])
    everywhere = []
    for row, window in _windows(analysis):
        if max(window.kernel) == 1 or window.transposed or len(row.sources) != 1:
            continue
        share = idle_share(analysis, row, window)
        if share == 1:
            everywhere.append(row)
        elif share >= IDLE_FROM:
            yield Finding(
                "idle",
                row.name,
                f"at {size} its kernel adds no pixel at {_percent(share)} of its positions, where one tap "
                f"alone sees all that the output sees; {_cost([row])}",
            )
    if everywhere:
        yield Finding(
            "idle",
            everywhere[0].name,
            f"at {size} the kernel adds no pixel at any position, one tap alone sees all that the output "
            f"sees: {_some(everywhere)}; {_cost(everywhere)}",
            "fewer layers here, or a larger input",
        )


def _some(rows: Iterable[Row]) -> str:
    """The first names, and how many more there are."""
    return listed([row.name for row in rows], _NAMED)


def _cost(rows: Sequence[Row]) -> str:
    return f"{sum(row.params for row in rows):,} parameters, {sum(row.macs for row in rows):,} MACs"


def idle_share(analysis: Analysis, row: Row, window: Window) -> Fraction:
    """The share of positions where one tap's clipped set is already the union over all taps.

    A tap's set is a subset of the union, so the two are equal when they have as many pixels.
    """
    source, target = local_part(analysis.rows[row.sources[0]].field), local_part(row.field)
    if source is None or target is None:
        return Fraction(0)
    before, after = seen_counts(source), seen_counts(target)
    axes = len(window.kernel)
    if before.dim() != axes or after.dim() != axes:
        return Fraction(0)
    # max over a window = max pooling, with what lies outside of the map seeing nothing
    largest = before.to(torch.float64)
    for axis in range(axes):
        k, s, p, d = window.kernel[axis], window.stride[axis], window.padding[axis], window.dilation[axis]
        length = after.shape[axis]
        places = torch.arange(length)[:, None] * s - p + d * torch.arange(k)
        inside = (places >= 0) & (places < largest.shape[axis])
        taken = largest.movedim(axis, 0)[places.clamp(0, largest.shape[axis] - 1)]
        taken = taken * inside.reshape(length, k, *[1] * (axes - 1))
        largest = taken.amax(1).movedim(0, axis)
    equal = int((largest.to(torch.int64) == after).sum())
    return Fraction(equal, after.numel())


_NAMED = 6
"""Layers that one finding names; of the others it says how many there are."""

IDLE_FROM = Fraction(1, 2)
"""Below this share of positions a layer is not called idle: at the borders of a map every layer is."""

CHECKS: tuple[Callable[[Analysis], Iterator[Finding]], ...] = (ignored_pixels, transposed, misaligned, idle)


def _windows(analysis: Analysis) -> Iterator[tuple[Row, Window]]:
    for row in analysis.rows:
        window = window_of(analysis.graph, analysis.graph.nodes[row.node])
        if window is not None:
            yield row, window


def _percent(share: Fraction) -> str:
    return f"{float(100 * share):.3g} %"
