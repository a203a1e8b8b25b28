"""Branches that forward() takes by value: other answers to what it asks lead to the other runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rfcalc.trace.graph import Ask, Graph

__all__ = ["Answers", "TooLongError", "explored"]

MAX_RUNS = 8
"""Runs of a forward that branches by value, the first one included."""

SECONDS = 10.0
"""After that no further run is begun."""

HUGE = 1e30
"""A number on the far side of any threshold that a forward compares with."""

Answers = tuple[bool | int | float, ...]


class TooLongError(Exception):
    """A run with other answers has not ended in time; its answers may have made its loop endless."""


def explored(first: Graph, run: Callable[[Answers, float], Graph | None]) -> Graph:
    """Return the longest run of a forward, with the others that took another branch.

    Each answer of a run is changed in turn while those before it stay, as a debugger would step back and
    take the other side; so each leaf of the tree of branches is met once. The choice of the longest run, and
    not of the one that happened, makes the result the same for all weights.

    Args:
        first: A run.
        run: Runs the forward with given answers to its first questions until a moment of time.monotonic();
            None where it then fails (a check such as `if x.isnan().any(): raise` is no branch).
    """
    if not first.asks:
        return first
    until = time.monotonic() + SECONDS
    found: dict[tuple[object, ...], tuple[Answers, Graph]] = {_ops(first): ((), first)}
    waiting = list(_others(first.asks, 0))
    # A number has more values than those tried: `blocks[int(x.argmax())]` may choose any block.
    runs, cut = 1, any(type(ask.answer) is int and not ask.in_library for ask in first.asks)
    while waiting:
        if runs >= MAX_RUNS or time.monotonic() >= until:
            cut = True
            break
        answers = waiting.pop(0)
        runs += 1
        try:
            other = run(answers, until)
        except TooLongError:
            # `while t < x.max().item()` with a huge answer.
            cut = True
            continue
        if other is None:
            continue
        found.setdefault(_ops(other), (answers, other))
        waiting += _others(other.asks, len(answers))
    leaves = sorted(
        (graph for _, graph in found.values()),
        key=lambda graph: (len(graph.nodes), [float(ask.answer) for ask in graph.asks]),
        reverse=True,
    )
    return replace(leaves[0], others=tuple(leaves[1:]), unexplored=cut)


def _others(asks: Sequence[Ask], start: int) -> Iterator[Answers]:
    """Yield the answers that differ first at one of the questions from `start` on.

    What the modules of PyTorch ask for stays: nn.LSTM gives a wrong batch size to a kernel that trusts it.
    """
    for i in range(start, len(asks)):
        if asks[i].in_library:
            continue
        before = tuple(ask.answer for ask in asks[:i])
        for other in _opposites(asks[i].answer):
            yield (*before, other)


def _opposites(answer: bool | int | float) -> list[bool | int | float]:
    if isinstance(answer, bool):
        return [not answer]
    if isinstance(answer, int):
        # A number of things: none, and one more. What is asked for may be made, so that it must not be huge.
        others = (0, answer + 1) if abs(answer) < 1000 else (0,)
        return [other for other in others if other != answer]
    return [-HUGE, HUGE]


def _ops(graph: Graph) -> tuple[object, ...]:
    return tuple((node.path, node.op) for node in graph.nodes)
