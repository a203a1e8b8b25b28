"""The budget that a search keeps to."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import rfcalc
from records.text import unknown
from rfcalc import find_budget
from search.errors import SearchError
from search.options import count

_ANSWERS = {"yes": True, "true": True, "no": False, "false": False}


def asked_limits(words: Sequence[str]) -> dict[str, int | bool]:
    """Return the limits that `--limit NAME=VALUE` names, by the names of `rfcalc.Budget`.

    Raises:
        SearchError: No such limit, or no such value of it.
    """
    known = {field.name.replace("_", "-"): field for field in fields(rfcalc.Budget)}
    found: dict[str, int | bool] = {}
    for word in words:
        key, _, text = word.partition("=")
        key = key.strip().replace("_", "-")
        if key not in known:
            raise SearchError(f"--limit {word}: {key!r} is {unknown(key, known)}")
        field = known[key]
        if isinstance(field.default, bool):
            if text.lower() not in _ANSWERS:
                raise SearchError(f"--limit {word}: {key} takes yes or no, got {text!r}")
            found[field.name] = _ANSWERS[text.lower()]
            continue
        try:
            found[field.name] = count(text)
        except argparse.ArgumentTypeError as error:
            raise SearchError(f"--limit {word}: {error}") from error
    return found


def project_budget(limits: Mapping[str, int | bool] | None = None) -> rfcalc.Budget:
    """Return the project's own budget, `[tool.rfcalc]` of the pyproject.toml above this file.

    Args:
        limits: Limits that take the place of the project's, by name.

    Raises:
        SearchError: There is none.
    """
    found = find_budget(Path(__file__).resolve().parent)
    if found is None:
        raise SearchError(
            "pyproject.toml: the table [tool.rfcalc] is missing, so there is no budget to search in"
        )
    changed: Any = dict(limits or {})
    return replace(found[0], **changed)


def limited(budget: rfcalc.Budget, max_macs: int | None) -> rfcalc.Budget:
    """Return the budget with a limit on MACs, the lower one where it has one itself."""
    if max_macs is None:
        return budget
    return replace(budget, max_macs=min(max_macs, budget.max_macs or max_macs))
