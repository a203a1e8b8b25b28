"""--verify: fields against the gradient oracle, unit by unit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from rfcalc.errors import RfcalcError
from rfcalc.maps.readout import Readout
from rfcalc.questions.gradients import Oracle as Oracle
from rfcalc.questions.gradients import UnreachableError, is_number
from rfcalc.questions.placing import Misplaced, edges_of, too_wide, wrong_edges

if TYPE_CHECKING:
    from rfcalc.analysis.result import Analysis, Row

__all__ = ["Mismatch", "Misplaced", "Oracle", "Verification", "verify"]

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
        placed: Rows whose size, jump and start agree with the edges of what units see.
        misplaced: Units where they do not.
        unplaced: Rows whose edges could not be seen: the whole image is in view, or every field is larger.
    """

    checked: int
    agreed: int
    mismatches: tuple[Mismatch, ...]
    skipped: tuple[tuple[str, str], ...]
    left_out: int = 0
    placed: int = 0
    misplaced: tuple[Misplaced, ...] = ()
    unplaced: int = 0

    @property
    def ok(self) -> bool:
        """Whether units were compared and all of them agree: nothing compared is no agreement."""
        return self.checked > 0 and not self.mismatches and not self.misplaced


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

    Fields that carry a flag of a bound (`BOUNDED`) must cover the gradient, all others must equal it. Size,
    jump and start are compared with the edges of units that lie inside the image (questions/placing.py).

    Args:
        model: The network, to run it on a larger image where this one shows no unit's edges; None: do not.
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
    misplaced: list[Misplaced] = []
    skipped: list[tuple[str, str]] = []
    checked = placed = 0
    # A layer on a constant, or parameters that nothing uses: there is no gradient to compare with.
    waiting = [row for row in analysis.rows if (rows is None or row.name in rows) and _depends_on_input(row)]
    if until is not None and len(waiting) > 1:
        order = torch.randperm(len(waiting) - 1, generator=generator).tolist()
        waiting = [waiting[i] for i in (-1, *order)]
    left_out = 0
    hidden: list[Row] = []
    for row in waiting:
        if until is not None and time.monotonic() >= until and checked:
            left_out += 1
            continue
        try:
            for index in _chosen_units(row.field.positions, units, generator):
                seen = _seen(oracle, analysis, row, index)
                checked += 1
                mismatch = _difference(row, index, seen)
                if mismatch is not None:
                    mismatches.append(mismatch)
                misplaced += too_wide(row, index, seen, analysis)
            wrong = _misplaced(oracle, analysis, row)
        except UnreachableError as reason:
            skipped.append((row.name, str(reason)))
            continue
        if wrong is None:
            hidden.append(row)
        else:
            misplaced += wrong
            placed += not any(moved.row == row.name for moved in misplaced)
    if model is not None and hidden:
        confirmed, wrong = _on_larger_image(model, analysis, hidden, seed, until)
        misplaced += wrong
        placed += confirmed
    return Verification(
        checked,
        checked - len(mismatches),
        tuple(mismatches),
        tuple(skipped),
        left_out,
        placed,
        tuple(misplaced),
        len(waiting) - left_out - len(skipped) - placed - len({wrong.row for wrong in misplaced}),
    )


def _depends_on_input(row: Row) -> bool:
    assert isinstance(row.field.reach, Readout)
    return bool(row.field.reach.state.paths)


def _misplaced(oracle: Oracle, analysis: Analysis, row: Row) -> list[Misplaced] | None:
    """Return the units of a row that are not where its numbers put them; None where no edge is inside."""
    if row.field.flags & BOUNDED:
        return None
    edges = edges_of(row, analysis)
    if not edges:
        return None
    return [wrong for e in edges for wrong in wrong_edges(row, e, _seen(oracle, analysis, row, e.index))]


LARGEST = 512
"""Pixels along an axis beyond which no larger image is tried: the oracle computes in float64."""


def _larger(analysis: Analysis, rows: Sequence[Row]) -> list[int]:
    """Return the size of an image on which some rows show their edges, and round as they do on this one."""
    size = []
    for axis, pixels in enumerate(analysis.input_size[1:]):
        # Sizes that differ by whole jumps leave the same remainder in every layer.
        step = 2 * lcm(*(Fraction(row.field.jump[axis] or 1).numerator for row in rows))
        reach = max(abs(row.field.start[axis] or 0) + row.field.size[axis] for row in rows)
        size.append(pixels + step * -(-max(reach + 2 * step - pixels, 1) // step))
    return size


def _on_larger_image(
    model: nn.Module, analysis: Analysis, rows: Sequence[Row], seed: int, until: float | None
) -> tuple[int, list[Misplaced]]:
    """Check rows on a larger image, on which their numbers are the same and the edges of their fields show.

    Returns:
        Rows that agree, and the units of the others. Networks that take one size alone agree on none.
    """
    from rfcalc.analysis.analyze import analyze

    steady = [r for r in rows if all(r.field.jump) and not r.field.is_global and None not in r.field.start]
    rows = [
        r for r in steady if "size-dependent" not in r.field.flags and max(_larger(analysis, [r])) <= LARGEST
    ]
    if not rows:
        return 0, []
    size = _larger(analysis, rows)
    if max(size) > LARGEST:
        return 0, []
    try:
        larger = analyze(model, (analysis.input_size[0], *size))
    except RfcalcError:
        return 0, []
    if [row.name for row in larger.rows] != [row.name for row in analysis.rows]:
        return 0, []
    oracle, agreed, misplaced = Oracle(larger.graph, seed), 0, list[Misplaced]()
    for row in reversed(rows):
        if until is not None and time.monotonic() >= until:
            break
        there = larger.rows[row.index]
        claims = [(field.size, field.jump, field.start) for field in (row.field, there.field)]
        wrong = _misplaced(oracle, larger, there)
        if wrong is not None and claims[0] == claims[1]:
            misplaced += wrong
            agreed += not wrong
    return agreed, misplaced


def _seen(oracle: Oracle, analysis: Analysis, row: Row, index: tuple[int, ...]) -> torch.Tensor:
    """Return the pixels that the gradient of a unit reaches."""
    value = analysis.graph.nodes[row.node].outputs[0]
    if not is_number(analysis.graph.values[value].dtype):
        raise UnreachableError("its output is not a real number")
    assert isinstance(row.field.reach, Readout)
    return oracle.pixels(value, unit(row.field.reach, analysis.graph.values[value].shape, index))


def _difference(row: Row, index: tuple[int, ...], seen: torch.Tensor) -> Mismatch | None:
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
