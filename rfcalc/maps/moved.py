"""Data movements that cancel: indices that came a long way round, and are regular again.

A class token is joined to the tokens and cut off again, tokens are sorted and put back, relative positions
are skewed by padding and reshaping. Each movement alone has no periodic form, their composition has one. So a
map that was only moved keeps the map that it came from and, for each index, the index there (its source, -1
for none); where those sources are an affine function of the index, the periodic form is found again. Knows no
torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

from rfcalc.maps.reads import Reads

__all__ = ["NOWHERE", "affine_reads", "flat_indices"]

NOWHERE = -1
"""Source of an index at which nothing is seen: padding, another piece of a concatenation."""


def flat_indices(shape: tuple[int, ...], dims: tuple[int, ...]) -> list[int]:
    """Return, for each row-major index of `shape`, the row-major index over `dims` of it (in that order)."""
    strides = dict.fromkeys(range(len(shape)), 0)
    step = 1
    for d in reversed(dims):
        strides[d] = step
        step *= shape[d]
    return affine_values(shape, [strides[d] for d in range(len(shape))], 0)


def affine_values(shape: Sequence[int], steps: Sequence[int], first: int) -> list[int]:
    """Return first + sum of i[d] * steps[d] for each index i of `shape`, row-major."""
    values = [first]
    for n, step in zip(shape, steps, strict=True):
        if n > 1:
            values = [v + i for v in values for i in range(0, n * step, step)] if step else repeat(values, n)
    return values


def repeat(values: list[int], count: int) -> list[int]:
    """Return each value `count` times in a row."""
    return [v for v in values for _ in range(count)]


def affine_reads(
    shape: tuple[int, ...], sources: Sequence[int], n: int
) -> tuple[tuple[int, ...], Reads] | None:
    """Return the regular form of a movement, None where there is none.

    The movement has one iff source = first + sum of i[d] * step[d] at every index i, apart from those where
    that lies outside of 0..n - 1 and nothing is seen. Dimensions with step 0 do not matter; the others, the
    largest step first, make up one row-major index o = m * P + p that reads m * Q + taps[p]:

        shape (2, 3), sources 1 1 1 2 2 2: step (1, 0), so dimension 0 alone, P = 1, Q = 1, taps ((1,),)
        windows of 6, every 4 samples, shape (5, 6), sources 0..5 4..9 8..13 ...: step (4, 1), so P = 6,
        Q = 4, taps ((0,), (1,), ..., (5,))

    Args:
        shape: Lengths of the dimensions that the index runs over.
        sources: The index before the movement, for each row-major index; `NOWHERE` for none.
        n: Number of indices before the movement.

    Returns:
        The dimensions that matter, in the order of the new row-major index, and what it reads.
    """
    steps = _steps(shape, sources)
    if steps is None:
        return None
    anchor = next(i for i, source in enumerate(sources) if source != NOWHERE)
    first = sources[anchor] - sum(i * s for i, s in zip(_unflat(anchor, shape), steps, strict=True))
    expected = affine_values(shape, steps, first)
    if list(sources) != expected and any(
        a != b and (a != NOWHERE or 0 <= b < n) for a, b in zip(sources, expected, strict=True)
    ):
        return None
    order = sorted((d for d in range(len(shape)) if steps[d]), key=lambda d: -abs(steps[d]))
    if not order:
        # One place for all: a dimension of length 1 stays a dimension of the map.
        order = [d for d in range(len(shape)) if shape[d] == 1][:1]
        for d in order:
            steps[d] = 1
    sizes, moves = [shape[d] for d in order], [steps[d] for d in order]
    taps = tuple((i,) for i in affine_values(sizes[1:], moves[1:], first))
    read = affine_values(sizes, moves, first)
    shift = moves[0] if moves else 0
    return tuple(order), Reads(
        n, tuple((i,) if 0 <= i < n else () for i in read), prod(sizes[1:]), shift, taps
    )


def _steps(shape: tuple[int, ...], sources: Sequence[int]) -> list[int] | None:
    """Return by how much the source grows along each dimension, from the first neighbours that have one."""
    steps = []
    stride = len(sources)
    for n in shape:
        outer, stride = stride, stride // n
        step = 0
        if n > 1:
            pairs = (i + stride * k for i, k in product(range(0, len(sources), outer), range(n - 1)))
            found = None
            for start in pairs:
                for at in range(start, start + stride):
                    if sources[at] != NOWHERE and sources[at + stride] != NOWHERE:
                        found = sources[at + stride] - sources[at]
                        break
                if found is not None:
                    break
            if found is None:
                return None
            step = found
        steps.append(step)
    return steps if any(source != NOWHERE for source in sources) else None


def _unflat(index: int, shape: tuple[int, ...]) -> list[int]:
    place: list[int] = []
    for n in reversed(shape):
        index, i = divmod(index, n)
        place.insert(0, i)
    return place
