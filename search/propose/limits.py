"""The budget that a search keeps to."""

from dataclasses import replace
from pathlib import Path

import rfcalc
from rfcalc import find_budget
from search.errors import SearchError


def project_budget() -> rfcalc.Budget:
    """Return the project's own budget, `[tool.rfcalc]` of the pyproject.toml above this file.

    Raises:
        SearchError: There is none.
    """
    found = find_budget(Path(__file__).resolve().parent)
    if found is None:
        raise SearchError(
            "pyproject.toml: the table [tool.rfcalc] is missing, so there is no budget to search in"
        )
    return found[0]


def limited(budget: rfcalc.Budget, max_macs: int | None) -> rfcalc.Budget:
    """Return the budget with a limit on MACs, the lower one where it has one itself."""
    if max_macs is None:
        return budget
    return replace(budget, max_macs=min(max_macs, budget.max_macs or max_macs))
