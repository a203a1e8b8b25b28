"""The networks that take part in a search from its start: presets, and what the user names."""

from collections.abc import Mapping
from dataclasses import replace

import rfcalc
from models.arithmetic import figures
from models.errors import SpecError
from models.presets import PRESETS
from models.spec import NetSpec
from search.errors import SearchError
from search.propose.gate import NO_INT8, Gate
from search.propose.limits import limited
from search.propose.space import fingerprint
from search.propose.target import spec_named

NONE = "none"
"""What `--presets` takes to train none."""


def names_of(asked: str) -> tuple[str, ...]:
    """Return the names that `--presets` or `--start` lists."""
    return () if asked == NONE else tuple(name.strip() for name in asked.split(","))


def fitted(spec: NetSpec, input_size: tuple[int, int, int], classes: int) -> NetSpec:
    """Return `spec` for such images; SpecError where it cannot take them."""
    return replace(spec, input_size=input_size, classes=classes)


def rivals(
    asked: str | None,
    budget: rfcalc.Budget,
    input_size: tuple[int, int, int],
    classes: int,
    most_macs: int | None = None,
    flag: str = "--presets",
) -> dict[str, NetSpec]:
    """Return the networks that are candidates of a search from its start, by name.

    Args:
        asked: Names with commas between them, or "none"; None: all presets that keep to the budget. A name
            is a target whose network has a spec: a preset, a spec.json, or a run folder.
        budget: What the search's own networks keep to.
        input_size: Channels, height and width of an image.
        classes: Of the data set.
        most_macs: Those that nobody asks for have at most so many; None: as many as the budget lets them.
        flag: What the user typed.

    Raises:
        SearchError: A name of no network with a spec, a network that breaks the budget, or one named twice.
    """
    if asked is None:
        gate = Gate(limited(budget, most_macs), input_size)
        return {name: spec for name, spec in PRESETS.items() if _broken(spec, gate, classes) is None}
    gate = Gate(budget, input_size)
    found: dict[str, NetSpec] = {}
    marks: dict[str, str] = {}
    for name in names_of(asked):
        spec = spec_named(flag, name, "no search can start from it")
        if (broken := _broken(spec, gate, classes)) is not None:
            raise SearchError(f"{flag} {asked}: {name} {broken}; leave it out")
        mark = fingerprint(fitted(spec, input_size, classes))
        if (other := marks.setdefault(mark, name)) in found:
            raise SearchError(f"{flag} {asked}: {name} is the network of {other}; name each network once")
        found[name] = spec
    return found


def given(candidates: Mapping[str, NetSpec]) -> dict[str, object]:
    """Return the specs of candidates that are no presets: their files may change, the search must not."""
    return {name: spec.to_json() for name, spec in candidates.items() if PRESETS.get(name) != spec}


def _broken(spec: NetSpec, gate: Gate, classes: int) -> str | None:
    """Return why a network cannot take part, with the distance where that is known; None: it can."""
    try:
        spec = fitted(spec, gate.input_size, classes)
        broken = gate.admission(spec).broken
    except SpecError as error:
        return f"cannot take these images: {error}"
    if not broken:
        return None
    if NO_INT8 in broken:
        return f"has {NO_INT8}, because it has a layer norm"
    short = gate.shortfalls(figures(spec, gate.input_size))
    shown = [f"{name} by {short[name]:,}" if name in short else name for name in broken]
    return f"breaks {', '.join(shown)} of this search"
