"""What in a network's geometry is likely a mistake: each check is one function, `Analysis` -> findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm, prod

import torch
from torch import nn

from rfcalc.analysis import Analysis, Row
from rfcalc.columns import decimal, per_axis
from rfcalc.coverage import seen_counts, unseen_pixels
from rfcalc.explain import path_to
from rfcalc.field import Field
from rfcalc.indexmap import Periodic
from rfcalc.readout import Readout
from rfcalc.rules_window import Window, window_of
from rfcalc.schedule import close_holes


@dataclass(frozen=True)
class Finding:
    """One thing to look at.

    Attributes:
        check: "holes", "ignored pixels", "checkerboard", "dead outputs", "misaligned" or "idle".
        layer: Name of the row.
        message: What is so, with its numbers.
        advice: What would mend it; "" where nothing general can be said.
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
    """Joins whose operands look at different places: by how many pixels of the image, over all phases."""
    for row in analysis.rows:
        sources = [analysis.rows[i] for i in dict.fromkeys(row.sources)]
        if len(sources) < 2 or "misaligned" not in row.field.flags:
            continue
        if len({source.field.jump for source in sources}) > 1:
            steps = _joined(f"{source.name} {per_axis(source.field.jump)}" for source in sources)
            yield Finding("misaligned", row.name, f"its operands drift apart, their steps differ: {steps}")
            continue
        shifts = [_shift(sources[0].field, source.field) for source in sources[1:]]
        shown = [
            f"{source.name} by {shift} px"
            for source, shift in zip(sources[1:], shifts, strict=True)
            if shift not in ("0", "")
        ]
        if shown:
            yield Finding("misaligned", row.name, f"shifted against {sources[0].name}: {_joined(shown)}")


def _shift(first: Field, second: Field) -> str:
    """How far the centres of one map lie from those of another: one number, or the range over the phases."""
    axes = []
    for axis in range(len(first.size)):
        here, there = _centres(first, axis), _centres(second, axis)
        if here is None or there is None:
            return ""
        (one, jump), (two, _) = here, there
        count = len(one) * len(two)
        shifts = [
            two[o % len(two)]
            + o // len(two) * len(two) * jump
            - one[o % len(one)]
            - o // len(one) * len(one) * jump
            for o in range(count)
        ]
        low, high = decimal(min(shifts)), decimal(max(shifts))
        axes.append(low if low == high else f"{low}..{high}")
    return per_axis(axes)


def _centres(field: Field, axis: int) -> tuple[list[Fraction], Fraction] | None:
    """Centres of what the outputs of one period see, and the pixels from one output to the next."""
    assert isinstance(field.reach, Readout)
    planes = [path.parts[axis].map.plane for path in field.reach.paths]
    periodic = [plane for plane in planes if isinstance(plane, Periodic)]
    if not periodic or len(periodic) < len(planes):
        return None
    centres = []
    for o in range(lcm(*(len(plane.phases) for plane in periodic))):
        seen = [
            (low, low + bits.bit_length() - 1) for low, bits in (plane.at(o) for plane in periodic) if bits
        ]
        if not seen:
            return None
        centres.append(Fraction(min(low for low, _ in seen) + max(high for _, high in seen), 2))
    return centres, periodic[0].jump


def idle(analysis: Analysis) -> Iterator[Finding]:
    """Layers whose kernel adds no pixel: one tap alone sees all that the output sees.

    Behind a global operation (a squeeze-and-excite gate) every layer would be one, so those are left out.
    """
    size = "x".join(map(str, analysis.input_size[1:]))
    everywhere = []
    for row, window in _windows(analysis):
        if max(window.kernel) == 1 or window.transposed or len(row.sources) != 1:
            continue
        if analysis.rows[row.sources[0]].field.is_global:
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
        names = _joined(row.name for row in everywhere[:6])
        more = f" and {len(everywhere) - 6} more" if len(everywhere) > 6 else ""
        yield Finding(
            "idle",
            everywhere[0].name,
            f"at {size} the kernel adds no pixel at any position, one tap alone sees all that the output "
            f"sees: {names}{more}; {_cost(everywhere)}",
            "fewer layers here, or a larger input",
        )


def _cost(rows: Sequence[Row]) -> str:
    return f"{sum(row.params for row in rows):,} parameters, {sum(row.macs for row in rows):,} MACs"


def idle_share(analysis: Analysis, row: Row, window: Window) -> Fraction:
    """The share of positions where one tap's clipped set is already the union over all taps.

    A tap's set is a subset of the union, so the two are equal when they have as many pixels.
    """
    source = analysis.rows[row.sources[0]].field
    before, after = seen_counts(source), seen_counts(row.field)
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
