"""Constraint unit tests for one's own networks: `assert_within(model, budget)`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rfcalc.analysis.analyze import analyze
from rfcalc.analysis.budget import Budget, Verdict, judge
from rfcalc.analysis.result import Analysis
from rfcalc.analysis.settings import find_budget, read_budget
from rfcalc.errors import BudgetError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["assert_within"]


def assert_within(
    model: nn.Module, budget: Budget | Path | str | None = None, *, input_size: tuple[int, ...] = (3, 32, 32)
) -> Analysis:
    """Fail with one readable message unless the network keeps every limit.

        def test_my_network_fits():
            assert_within(Net(), Budget(min_receptive_field=53, max_params=99_999))

    Args:
        model: Any module; left as it was found.
        budget: The limits; a TOML file with them; or None: `[tool.rfcalc]` of the nearest pyproject.toml,
            from the current folder upwards.
        input_size: (channels, *spatial) of one image.

    Returns:
        The analysis, for further assertions.

    Raises:
        AssertionError: A limit is broken; the message lists all of them with value, room and layer.
        BudgetError: There is no budget, or one without limits, which no network could break.
        RfcalcError: The network could not be analysed.
    """
    # pytest then shows the caller's line and this message, not the inside of this function.
    __tracebackhide__ = True
    limits = _budget(budget)
    if not limits.limits():
        raise BudgetError("the budget has no limits, so no network could break it")
    analysis = analyze(model, input_size=input_size)
    verdict = judge(analysis, limits)
    if not verdict.ok:
        raise AssertionError(_message(type(model).__name__, analysis, verdict))
    return analysis


def _budget(budget: Budget | Path | str | None) -> Budget:
    if isinstance(budget, Budget):
        return budget
    if budget is not None:
        return read_budget(Path(budget))
    found = find_budget(Path.cwd())
    if found is None:
        raise BudgetError(f"no pyproject.toml with a [tool.rfcalc] table in {Path.cwd()} or above it")
    return found[0]


def _message(name: str, analysis: Analysis, verdict: Verdict) -> str:
    from rfcalc.render.limits import limit_texts

    size = analysis.input_text
    rows = [limit_texts(limit) for limit in verdict.limits]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    table = [
        f"  {state:{widths[0]}}  {key:{widths[1]}}  {value:>{widths[2]}}, must be {bound:{widths[3]}}"
        f"  {room:{widths[4]}}  {note}".rstrip()
        for state, key, value, bound, room, note in rows
    ]
    count = f"{len(verdict.broken)} of {len(verdict.margins)} limits"
    return "\n".join([f"{name} at {size} breaks {count}:", *table])
