"""Before the first trial: what a space holds, by arithmetic alone."""

import math
import random
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

import rfcalc
import rfcalc.analysis.budget
from models.arithmetic import figures
from models.errors import SpecError
from models.flash import flash
from models.net import build
from models.spec import NetSpec
from records.search import ScreeningRecord
from search.errors import SearchError
from search.propose.gate import NO_INT8, Gate
from search.propose.space import Space, TooLargeError, Values, WidthSpace, fingerprint

SCREENED = 2_000
"""Networks, at a millisecond each."""
BUILT = 100
"""Networks of them that are built, at most, until one holds the limits that arithmetic does not know."""


def screen(space: Space, gate: Gate, seed: int, count: int = SCREENED) -> ScreeningRecord:
    """Judge `count` random proposals of `space`, or all where there are no more.

    Raises:
        SearchError: None fits; the text names the limits that break, and by how much at least.
    """
    drawn: Iterable[Values] = space.proposals()
    if space.size > count:
        rng = random.Random(seed)
        drawn = (space.draw(rng) for _ in range(count))
    broken: Counter[str] = Counter()
    nearest: dict[str, int] = {}
    macs: list[int] = []
    networks: set[str] = set()
    fit: list[NetSpec] = []
    screened = 0
    for values in islice(drawn, count):
        screened += 1
        try:
            spec = space.spec(values)
            known = figures(spec, gate.input_size)
        except SpecError as error:
            broken["max_params" if isinstance(error, TooLargeError) else "not a network"] += 1
            continue
        missed = gate.missed(spec, known)
        if not missed:
            networks.add(fingerprint(spec))
            macs.append(known.macs)
            fit += [spec] * (len(fit) < BUILT)
            continue
        broken[missed[0]] += 1
        for name, margin in gate.shortfalls(known).items():
            nearest[name] = min(margin, nearest.get(name, margin))
    if not macs:
        raise SearchError(_nothing_fits(screened, broken, nearest))
    _check_built(fit, gate)
    return ScreeningRecord(
        drawn=screened,
        fit=len(macs),
        networks=len(networks),
        broken=dict(broken.most_common()),
        macs=(min(macs), round(statistics.median(macs)), max(macs)),
    )


def _check_built(specs: Sequence[NetSpec], gate: Gate) -> None:
    """Refuse a space of which no network holds a limit that only the built network shows.

    Raises:
        SearchError: With each such limit, and by how much it is missed at least.
    """
    nearest: dict[str, float] = {}
    for spec in specs:
        found = gate.admission(spec)
        if not found.broken:
            return
        for name in found.broken:
            nearest[name] = min(nearest.get(name, math.inf), found.margins.get(name, math.inf))
    bounds = gate.budget.limits()
    reasons = ", ".join(
        name if isinstance(bounds.get(name, True), bool) else f"{name} (the nearest by {margin:,.0f})"
        for name, margin in nearest.items()
    )
    raise SearchError(
        f"none of {len(specs)} networks that were built fits the budget; broken: {reasons}; "
        "raise a limit with --limit"
    )


def summary(screening: ScreeningRecord) -> str:
    """Return it in one line."""
    least, median, most = (f"{macs / 1e6:.1f}" for macs in screening.macs)
    broken = ", ".join(f"{name} {count:,}" for name, count in screening.broken.items())
    return (
        f"{screening.drawn:,} proposals by arithmetic alone: {screening.fit:,} fit ({screening.networks:,} "
        f"different networks of {least} to {most} M MACs, median {median})"
        + (f"; the others break {broken}" if broken else "")
    )


def check_base(name: str, space: WidthSpace, budget: rfcalc.Budget) -> None:
    """Refuse the base network `name` where no width makes it fit: its narrowest form tells.

    Raises:
        SearchError: With each limit that cannot be held, and by how much.
    """
    try:
        narrow = space.narrowest()
    except SpecError:
        return  # such widths do not go together; the screening counts how many do
    if budget.dtype == "int8" and flash(narrow) is None:
        raise SearchError(
            f"--base {name}: {NO_INT8}: it has a layer norm; name another base, or leave --limit int8 out"
        )
    verdict = rfcalc.judge(rfcalc.analyze(build(narrow), input_size=narrow.input_size), budget)
    if verdict.broken:
        limits = "; ".join(_missed(limit) for limit in verdict.broken)
        raise SearchError(f"--base {name}: no width makes it fit the budget; impossible are: {limits}")


def _missed(limit: rfcalc.analysis.budget.Limit) -> str:
    if isinstance(limit.bound, bool) or limit.value is None or limit.margin is None:
        return limit.name
    what, off = ("at least", "too few") if limit.name.startswith("min") else ("at most", "too many")
    if limit.name == "stages":
        what, off = "exactly", "off"
    return f"{limit.name}, {what} {limit.bound:,}: {limit.value:,} at the narrowest, {limit.margin:,} {off}"


def _nothing_fits(screened: int, broken: Counter[str], nearest: dict[str, int]) -> str:
    reasons = ", ".join(
        f"{name} {count:,}" + (f" (the nearest by {nearest[name]:,})" if name in nearest else "")
        for name, count in broken.most_common()
    )
    return f"none of {screened:,} networks of the space fits the budget; broken: {reasons}; widen the space"
