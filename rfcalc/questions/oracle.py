"""--verify: fields against the gradient oracle, unit by unit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rfcalc.maps.readout import Readout
from rfcalc.questions.gradients import Oracle as Oracle
from rfcalc.questions.gradients import UnreachableError, is_number

if TYPE_CHECKING:
    from rfcalc.analysis.analyze import Analysis, Row

__all__ = ["Mismatch", "Oracle", "Verification", "verify"]

BOUNDED = frozenset({"upper bound", "bounding box", "data-dependent", "probed", "unknown"})
"""Flags of fields that promise to cover what is seen, not to equal it."""


@dataclass(frozen=True)
class Mismatch:
    """A unit whose field and gradient disagree.

    Attributes:
        row: Name of the row.
        index: The unit's position.
        missing: Pixels that the gradient reaches and the field leaves out.
        extra: Pixels that the field claims and the gradient does not reach.
    """

    row: str
    index: tuple[int, ...]
    missing: int
    extra: int


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        checked: Units compared.
        agreed: Units where field and gradient agree.
        mismatches: The others.
        skipped: Names of rows that gradients cannot reach, each with the reason.
        left_out: Rows that there was no time for.
    """

    checked: int
    agreed: int
    mismatches: tuple[Mismatch, ...]
    skipped: tuple[tuple[str, str], ...]
    left_out: int = 0

    @property
    def ok(self) -> bool:
        """Whether units were compared and all of them agree: nothing compared is no agreement."""
        return self.checked > 0 and not self.mismatches


def unit(readout: Readout, shape: tuple[int, ...], index: tuple[int, ...]) -> torch.Tensor:
    """Return the elements of a tensor that make up one unit: its position, all channels."""
    chosen = torch.zeros(shape, dtype=torch.bool)
    place: list[Any] = [slice(None)] * len(shape)
    for dim, i in zip(readout.position_dims, index, strict=True):
        place[dim] = i
    chosen[tuple(place)] = True
    return chosen


def verify(
    model: nn.Module | None,
    analysis: Analysis,
    *,
    units: int = 3,
    rows: Sequence[str] | None = None,
    seed: int = 0,
    seconds: float | None = None,
) -> Verification:
    """Compare fields with gradients: corner, centre and random units of every row.

    Fields that carry a flag of a bound (`BOUNDED`) must cover the gradient, all others must equal it.

    Args:
        model: Not needed any more; the recorded run holds what is.
        analysis: What to check.
        units: Units for each row; 0 for all of them.
        rows: Names of the rows to check; None for all.
        seed: Of the random numbers.
        seconds: Time after which no further row is begun; rows are then taken in random order, the last one
            of the network first, so that those that are checked are a sample of all.
    """
    until = None if seconds is None else time.monotonic() + seconds
    oracle = Oracle(analysis.graph, seed)
    generator = torch.Generator().manual_seed(seed)
    mismatches: list[Mismatch] = []
    skipped: list[tuple[str, str]] = []
    checked = 0
    # A layer on a constant, or parameters that nothing uses: there is no gradient to compare with.
    waiting = [row for row in analysis.rows if (rows is None or row.name in rows) and _depends_on_input(row)]
    if until is not None and len(waiting) > 1:
        order = torch.randperm(len(waiting) - 1, generator=generator).tolist()
        waiting = [waiting[i] for i in (-1, *order)]
    left_out = 0
    for row in waiting:
        if until is not None and time.monotonic() >= until and checked:
            left_out += 1
            continue
        try:
            for index in _chosen_units(row.field.positions, units, generator):
                mismatch = _compare(oracle, analysis, row, index)
                checked += 1
                if mismatch is not None:
                    mismatches.append(mismatch)
        except UnreachableError as reason:
            skipped.append((row.name, str(reason)))
    return Verification(checked, checked - len(mismatches), tuple(mismatches), tuple(skipped), left_out)


def _depends_on_input(row: Row) -> bool:
    assert isinstance(row.field.reach, Readout)
    return bool(row.field.reach.state.paths)


def _compare(oracle: Oracle, analysis: Analysis, row: Row, index: tuple[int, ...]) -> Mismatch | None:
    value = analysis.graph.nodes[row.node].outputs[0]
    if not is_number(analysis.graph.values[value].dtype):
        raise UnreachableError("its output is not a real number")
    assert isinstance(row.field.reach, Readout)
    seen = oracle.pixels(value, unit(row.field.reach, analysis.graph.values[value].shape, index))
    claimed = row.field.mask(*index)
    missing, extra = int((seen & ~claimed).sum()), int((claimed & ~seen).sum())
    if missing == 0 and (extra == 0 or row.field.flags & BOUNDED):
        return None
    return Mismatch(row.name, index, missing, extra)


def _chosen_units(
    positions: tuple[int, ...], units: int, generator: torch.Generator
) -> list[tuple[int, ...]]:
    if units == 0:
        return [tuple(int(i) for i in row) for row in torch.ones(positions).nonzero()]
    places = [tuple(0 for _ in positions), tuple(n // 2 for n in positions), tuple(n - 1 for n in positions)]
    while len(places) < units:
        places.append(tuple(int(torch.randint(n, (), generator=generator)) for n in positions))
    return list(dict.fromkeys(places[:units]))
