"""Widths that use up a parameter budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import permutations, product
from math import lcm
from operator import itemgetter

from .arithmetic import count_params
from .errors import SpecError
from .outputs import output_params
from .spec import NetSpec, keeps_width, stage_widths, widened_stage, widened_stem, with_widths

UNUSED = 0.02
"""Share of the budget that may stay unused before stages are traded against each other."""

Widths = tuple[int, ...]
Count = Callable[[Widths], int]


def fill_budget(spec: NetSpec, max_params: int, step: int = 1) -> NetSpec:
    """Return `spec` with C1 to C4 widened or narrowed so that its parameters come close under `max_params`.

    One multiplier for all widths comes first, then single steps, the one that leaves the least unused each
    time; where more than 2 % is still unused, steps of one stage are traded for steps of another. Widths move
    in multiples of `step` and of the groups that divide them, and stages that a shortcut ties together move
    together.

    Raises:
        SpecError: Even the narrowest network has more parameters, or the widths found do not suit the groups
            of a layer that is narrower than its stage, or a C1 that keeps the channels of the image.
    """
    start, ties, count = stage_widths(spec), tied_stages(spec), _counter(spec)
    steps = tuple(lcm(step, groups) for groups in width_steps(spec))

    def scaled(multiplier: float) -> Widths:
        return tuple(
            max(step, round(width * multiplier / step) * step)
            for width, step in zip(start, steps, strict=True)
        )

    low, high = 0.0, 1.0  # multipliers: `low` fits
    if count(scaled(low)) > max_params:
        least = count(scaled(low))
        raise SpecError(f"{spec.name}: the narrowest network has {least:,} parameters, over {max_params:,}")
    while count(scaled(high)) <= max_params:
        low, high = high, 2 * high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if count(scaled(middle)) <= max_params else (low, middle)
    widths = scaled(low)
    while (wider := _best(_wider(widths, steps, ties), count, max_params)) and count(wider) > count(widths):
        widths = wider
    while count(widths) < (1 - UNUSED) * max_params:
        traded = _best(_trades(widths, steps, ties), count, max_params)
        if traded is None or count(traded) <= count(widths):
            break
        widths = traded
    return with_widths(spec, widths)


def _counter(spec: NetSpec) -> Count:
    """Return what counts the parameters of `spec` at given widths; it looks at each stage once a width."""

    @cache
    def stage(number: int, width: int, channels: int) -> tuple[int, int]:
        part = widened_stage(spec.stages[number], width, channels)
        return count_params([part], channels), part.layers[-1].width

    @cache
    def stem(width: int) -> tuple[int, int]:
        part, channels = widened_stem(spec, width), spec.input_size[0]
        return count_params([part], channels), part.layers[-1].width if part.layers else channels

    def count(widths: Widths) -> int:
        params, channels = stem(widths[0])
        for number, width in enumerate(widths):
            more, channels = stage(number, width, channels)
            params += more
        return params + output_params(spec.output, channels, spec.classes)

    return count


def width_steps(spec: NetSpec) -> Widths:
    """Return for each stage the number that its width must be a multiple of, because of groups."""
    steps = []
    readers = [*spec.stages[1:], None]
    for stage, reader in zip(spec.stages, readers, strict=True):
        layers = [*stage.layers[1:], *(reader.layers[:1] if reader else ())]
        groups = [layer.groups for layer in (*layers, stage.layers[-1])]
        steps.append(lcm(*(number for number in groups if isinstance(number, int))))
    for first, *others in tied_stages(spec):
        step = lcm(steps[first], *(steps[other] for other in others))
        for number in (first, *others):
            steps[number] = step
    return tuple(steps)


def tied_stages(spec: NetSpec) -> list[list[int]]:
    """Return the stages, by number from 0, in groups that shortcuts across a border keep equally wide."""
    groups: list[list[int]] = []
    for number, stage in enumerate(spec.stages):
        if number and keeps_width(stage):
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups


def _moved(widths: Widths, steps: Widths, moves: dict[int, int]) -> Widths:
    return tuple(width + steps[number] * moves.get(number, 0) for number, width in enumerate(widths))


def _wider(widths: Widths, steps: Widths, ties: list[list[int]]) -> Iterator[Widths]:
    """Yield the widths with one group of stages a step wider."""
    for group in ties:
        yield _moved(widths, steps, dict.fromkeys(group, 1))


def _trades(widths: Widths, steps: Widths, ties: list[list[int]]) -> Iterator[Widths]:
    """Yield the widths with one group up to four steps wider and another up to four steps narrower."""
    sizes = range(1, 5)
    for (up, down), more, less in product(permutations(ties, 2), sizes, sizes):
        moved = _moved(widths, steps, dict.fromkeys(up, more) | dict.fromkeys(down, -less))
        if min(moved) > 0:
            yield moved


def _best(candidates: Iterator[Widths], count: Count, max_params: int) -> Widths | None:
    """Return the candidate with the most parameters within the limit."""
    counted = ((count(widths), widths) for widths in candidates)
    fitting = [(params, widths) for params, widths in counted if params <= max_params]
    return max(fitting, key=itemgetter(0))[1] if fitting else None
