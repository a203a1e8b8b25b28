"""Where a search by moves starts: the networks that take part from its start, or those nearest to presets."""

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from models.arithmetic import figures
from models.errors import SpecError
from models.presets import PRESETS
from models.spec import NetSpec
from search.errors import SearchError
from search.propose.children import Parent, breed
from search.propose.gate import Gate
from search.propose.rivals import fitted
from search.propose.space import filled

FIRST = "residual"
"""The best known preset comes first, so that a search of one trial trains it."""
ROUNDS = 12
"""Steps of the walk from the presets into a budget that none of them keeps."""
TRIED = 100
"""Children of a step of that walk."""


def starts(
    candidates: Mapping[str, NetSpec], gate: Gate, classes: int, max_params: int | None
) -> tuple[list[tuple[str | None, NetSpec]], str | None]:
    """Return the networks of the first generation, each with the name of the candidate that it is.

    Where no preset fits, it is the network nearest to them that does, without a name: a preset with other
    widths if that is enough, else what a walk by moves finds.

    Args:
        candidates: Networks that keep to the budget, by name; none: it is looked for what comes nearest.
        gate: Judges networks.
        classes: Of the data set.
        max_params: Widths are filled up to just under it; None: they are left as they are.

    Returns:
        The networks, and a sentence for the user where no preset fits.

    Raises:
        SearchError: Nothing near the presets fits; the text names the limits and by how much they are missed.
    """
    if candidates:
        ranked = sorted(candidates, key=lambda name: name != FIRST)
        return [(name, fitted(candidates[name], gate.input_size, classes)) for name in ranked], None
    missed = []
    known: list[NetSpec] = []
    for name in sorted(PRESETS, key=lambda name: name != FIRST):
        try:
            spec = fitted(PRESETS[name], gate.input_size, classes)
            missed.append(f"{name} {_shown(spec, gate)}")
        except SpecError as error:
            missed.append(f"{name} ({error})")
            continue
        known.append(spec)
        if max_params is not None:
            with suppress(SpecError):  # its narrowest form has more
                known.append(filled(spec, max_params))
    found = _nearest(known, gate, max_params)
    reasons = "; ".join(missed)
    if found is None:
        raise SearchError(
            f"no preset fits the budget, nor does any near network: {reasons}; raise a limit with --limit"
        )
    spec = replace(found, name="start")
    return [(None, spec)], f"no preset fits the budget ({reasons}); it starts from the nearest that does"


def _nearest(known: Sequence[NetSpec], gate: Gate, max_params: int | None) -> NetSpec | None:
    """Return the first network that fits on a walk that lowers the shortfall; a fixed stream of chances."""
    rng, here = random.Random(0), list(known)
    # Judged without counting: these are not proposals of the search.
    free = Gate(replace(gate.budget, max_macs=None, min_receptive_field=None), gate.input_size)
    for _ in range(ROUNDS):
        for spec in here:
            if not gate.shortfalls(figures(spec, gate.input_size)) and not gate.admission(spec).broken:
                return spec
        if not here:
            return None
        parents = [Parent(number, spec.name, spec) for number, spec in enumerate(here)]
        children = [child.spec for child in breed(parents, free, max_params, (), rng, TRIED)]
        here = sorted([*here, *children], key=lambda spec: _short(gate, spec))[:4]
    return None


def _short(gate: Gate, spec: NetSpec) -> float:
    """Return by how much a network misses the budget, in shares of the limits."""
    bounds = gate.budget.limits()
    known = gate.shortfalls(figures(spec, gate.input_size))
    return sum(margin / max(1, int(bounds[name])) for name, margin in known.items())


def _shown(spec: NetSpec, gate: Gate) -> str:
    """Return which limits a network breaks, with the distance where the closed forms have it."""
    shortfalls = gate.shortfalls(figures(spec, gate.input_size))
    if not shortfalls:
        return f"breaks {', '.join(gate.admission(spec).broken)}"
    return "misses " + ", ".join(f"{name} by {margin:,}" for name, margin in shortfalls.items())
