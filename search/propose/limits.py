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

INT8 = "int8"
"""A limit of the search's own: networks that have an int8 form alone, and bytes counted in int8."""
_ANSWERS = {"yes": True, "true": True, "no": False, "false": False}


def asked_limits(words: Sequence[str]) -> dict[str, int | bool]:
    """Return the limits that `--limit NAME=VALUE` names, by the names of `rfcalc.Budget`, and `INT8`.

    Raises:
        SearchError: No such limit, or no such value of it.
    """
    known = {field.name.replace("_", "-"): field for field in fields(rfcalc.Budget)}
    found: dict[str, int | bool] = {}
    for word in words:
        key, _, text = word.partition("=")
        key = key.strip().replace("_", "-")
        if word.strip() == INT8:
            found[INT8] = True
            continue
        if key == INT8:
            raise SearchError(f"--limit {word}: write --limit {INT8}, which takes no value")
        if key not in known:
            raise SearchError(f"--limit {word}: {key!r} is {unknown(key, (*known, INT8))}")
        field = known[key]
        if key == "dtype":
            raise SearchError(f"--limit {word}: write --limit {INT8}, which counts bytes in int8")
        if isinstance(field.default, tuple):
            raise SearchError(f"--limit {word}: {key} is a list; write it into pyproject.toml")
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


def limits_of(words: Sequence[str], objectives: Sequence[str]) -> dict[str, int | bool]:
    """Return the limits that `--limit` names and that the objectives bring along; errors as there."""
    found = asked_limits(words)
    if "flash" in objectives:
        found[INT8] = True  # what has no int8 form has no such figure
    return found


def project_budget(limits: Mapping[str, int | bool] | None = None) -> rfcalc.Budget:
    """Return the project's own budget, `[tool.rfcalc]` of the pyproject.toml above this file.

    Args:
        limits: Limits that take the place of the project's, by name; `INT8` is their element type.

    Raises:
        SearchError: There is none.
    """
    found = find_budget(Path(__file__).resolve().parent)
    if found is None:
        raise SearchError(
            "pyproject.toml: the table [tool.rfcalc] is missing, so there is no budget to search in"
        )
    changed: Any = dict(limits or {})
    if changed.pop(INT8, False):
        changed["dtype"] = "int8"
    return replace(found[0], **changed)


def limited(budget: rfcalc.Budget, max_macs: int | None) -> rfcalc.Budget:
    """Return the budget with a limit on MACs, the lower one where it has one itself."""
    if max_macs is None:
        return budget
    return replace(budget, max_macs=min(max_macs, budget.max_macs or max_macs))
