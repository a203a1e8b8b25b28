"""The presets that take part in a search: chosen by hand, for the same budget."""

from collections.abc import Collection
from dataclasses import replace

import rfcalc
from models.errors import SpecError
from models.presets import PRESETS
from models.spec import NetSpec
from records.text import unknown
from search.errors import SearchError
from search.propose.gate import Gate
from search.propose.limits import limited

NONE = "none"
"""What `--presets` takes to train none."""


def rival(name: str, input_size: tuple[int, int, int], classes: int) -> NetSpec:
    """Return the preset `name` for such images; SpecError where it cannot take them."""
    return replace(PRESETS[name], input_size=input_size, classes=classes)


def rivals(
    asked: str | None,
    budget: rfcalc.Budget,
    input_size: tuple[int, int, int],
    classes: int,
    most_macs: int | None = None,
) -> tuple[str, ...]:
    """Return the names of the presets that are candidates of a search.

    Args:
        asked: Names with commas between them, or "none"; None: all that keep to the budget.
        budget: What the search's own networks keep to.
        input_size: Channels, height and width of an image.
        classes: Of the data set.
        most_macs: Those that nobody asks for have at most so many; None: as many as the budget lets them.

    Raises:
        SearchError: A name that is no preset, or a preset that breaks the budget.
    """
    if asked == NONE:
        return ()
    if asked is None:
        gate = Gate(limited(budget, most_macs), input_size)
        return tuple(name for name in PRESETS if not _broken(name, gate, classes))
    gate, names = Gate(budget, input_size), tuple(name.strip() for name in asked.split(","))
    for name in names:
        if name not in PRESETS:
            raise SearchError(f"--presets {asked}: {name!r} is {unknown(name, (*PRESETS, NONE))}")
        if broken := _broken(name, gate, classes):
            raise SearchError(
                f"--presets {asked}: {name} breaks {', '.join(broken)} of this search; leave it out"
            )
    if len(set(names)) < len(names):
        raise SearchError(f"--presets {asked}: names each preset once")
    return names


def _broken(name: str, gate: Gate, classes: int) -> Collection[str]:
    try:
        return gate.admission(rival(name, gate.input_size, classes)).broken
    except SpecError as error:
        return (str(error),)
