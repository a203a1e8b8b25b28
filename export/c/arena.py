"""Where each value lies in one block of memory: planned before, so that the C code needs no heap."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from export.c.arithmetic import Add, Multiply, Program, Table

ALIGNMENT = 4
"""Bytes: places begin at multiples of it, so that kernels may read words."""


@dataclass(frozen=True)
class Arena:
    """A plan of memory."""

    bytes: int
    places: tuple[int, ...]
    """First byte of every value but the last, which are the scores and lie with the caller."""
    least: int
    """Bytes of the values that are alive at once, at most: no plan is smaller."""


@dataclass
class _Buffer:
    """Values that share one place, because each is computed in place of the one before."""

    size: int
    first: int
    """Step that writes it first; -1: the input."""
    last: int
    """Last step that reads it."""
    values: list[int]


def plan(program: Program) -> Arena:
    """Return the places of all values.

    Activations, sums and products write where their input lies if nothing reads that afterwards. The
    buffers are then placed one by one, each at the lowest place that is free while it is alive, in several
    orders; the smallest plan is kept. Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
    Inference" (2020), compare such orders.
    """
    buffers = _buffers(program)
    orders: tuple[Callable[[_Buffer], tuple[int, ...]], ...] = (
        lambda buffer: (-buffer.size, buffer.first),
        lambda buffer: (buffer.first, -buffer.size),
        lambda buffer: (buffer.first - buffer.last, -buffer.size),
        lambda buffer: (-buffer.last, -buffer.size),
    )
    plans = [_placed(sorted(buffers, key=order)) for order in orders]
    total, places = min(plans, key=lambda each: each[0])
    ordered = tuple(places[value] for value in range(len(program.steps)))
    return Arena(total, ordered, _most_alive(buffers, len(program.steps)))


def _buffers(program: Program) -> list[_Buffer]:
    steps = program.steps
    last = {value: position for position, step in enumerate(steps) for value in step.inputs}
    found = [_Buffer(math.prod(program.input_shape), -1, last.get(0, -1), [0])]
    owner = {0: found[0]}
    for position, step in enumerate(steps[:-1]):
        value, end = position + 1, last.get(position + 1, position)
        heir = next(
            (
                each
                for each in _may_replace(program, position)
                if last[each] == position and owner[each].last == position
            ),
            None,
        )
        if heir is not None:
            buffer = owner[heir]
            buffer.last = end
            buffer.values.append(value)
        else:
            buffer = _Buffer(step.bytes, position, end, [value])
            found.append(buffer)
        owner[value] = buffer
    return found


def _may_replace(program: Program, position: int) -> Iterable[int]:
    """Return the inputs in whose place a step may write: element by element, of the same shape."""
    step = program.steps[position]
    if not isinstance(step.op, Table | Add | Multiply):
        return ()
    return [value for value in step.inputs if program.shape(value) == step.shape]


def _placed(buffers: list[_Buffer]) -> tuple[int, dict[int, int]]:
    done: list[tuple[int, _Buffer]] = []
    total = 0
    for buffer in buffers:
        place = 0
        for start, other in sorted(done, key=lambda each: each[0]):
            if other.last < buffer.first or buffer.last < other.first:
                continue  # never alive together
            if place + buffer.size <= start:
                break
            place = max(place, _aligned(start + other.size))
        done.append((place, buffer))
        total = max(total, place + buffer.size)
    return _aligned(total), {value: place for place, buffer in done for value in buffer.values}


def _aligned(place: int) -> int:
    return -(-place // ALIGNMENT) * ALIGNMENT


def _most_alive(buffers: list[_Buffer], steps: int) -> int:
    return max(
        sum(buffer.size for buffer in buffers if buffer.first <= step <= buffer.last) for step in range(steps)
    )
