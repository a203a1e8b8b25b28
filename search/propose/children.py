"""Children: networks a few moves away from their parents, filled up and judged by arithmetic."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from models.arithmetic import figures
from models.errors import SpecError
from models.spec import NetSpec
from search.propose.gate import Gate
from search.propose.moves import MOVES, crossed
from search.propose.space import filled, fingerprint

BRED = 1_000
"""Children that a generation is chosen from, at about a millisecond each."""
STEPS = (1, 1, 1, 1, 1, 2, 2, 2, 3, 4)
"""Numbers of moves: one for half of the children, two for three tenths, three or four for bold ones."""
CROSSING = 0.1
"""Share of moves that take a stage of another parent, where there are several."""
DRAWS = 20
"""Fruitless draws for each child that is wanted, after which the neighbourhood counts as exhausted."""


@dataclass(frozen=True)
class Parent:
    """A network that children are made of."""

    number: int
    """Its trial."""
    name: str
    """How a description calls it: a preset's name, or "trial 7"."""
    spec: NetSpec


@dataclass(frozen=True)
class Child:
    """A network that holds every limit that the closed forms know."""

    spec: NetSpec
    parent: int
    """The trial that it is made of."""
    moves: tuple[str, ...]
    """What was changed, in this order."""
    macs: int


def breed(
    parents: Sequence[Parent],
    gate: Gate,
    max_params: int | None,
    known: Collection[str],
    rng: random.Random,
    count: int = BRED,
) -> list[Child]:
    """Return up to `count` different children; what breaks the budget is counted by the gate.

    Args:
        parents: What they are made of; each is as likely as any other.
        gate: Judges by closed forms, and counts what it turns away.
        max_params: Widths are filled up to just under it; None: they are left as they are.
        known: Fingerprints of networks that are not wanted again.
        rng: Where the chances come from.
        count: How many are wanted.
    """
    found: dict[str, Child] = {}
    for _ in range(DRAWS * count):
        if len(found) == count:
            break
        child = _child(parents, gate, max_params, rng)
        if child is None:
            continue
        mark = fingerprint(child.spec)
        if mark in known:
            gate.reject("duplicate")
        elif mark not in found:
            found[mark] = child
    return list(found.values())


def _child(parents: Sequence[Parent], gate: Gate, max_params: int | None, rng: random.Random) -> Child | None:
    parent = rng.choice(parents)
    others = [each for each in parents if each.number != parent.number]
    spec, moves = parent.spec, []
    try:
        for _ in range(rng.choice(STEPS)):
            if others and rng.random() < CROSSING:
                other = rng.choice(others)
                words, spec = crossed(spec, other.spec, other.name, rng)
            else:
                words, spec = MOVES[rng.choice(list(MOVES))](spec, rng)
            moves.append(words)
        spec = replace(spec, name="candidate")
        if max_params is not None:
            spec = filled(spec, max_params)
        known = figures(spec, gate.input_size)
    except SpecError:
        # Most are moves that this network has no layer for: another draw costs microseconds.
        return None
    if short := gate.shortfalls(known):
        gate.reject(next(iter(short)))
        return None
    return Child(spec, parent.number, tuple(moves), known.macs)
