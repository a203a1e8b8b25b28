"""A TOML file that narrows a space: for each dimension the values that are allowed.

space = "full"
c1_kind = ["conv", "split"]
stem_width = {min = 8, max = 24}
norm = "batch"
"""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from models.errors import shown
from records.text import nearest, reason
from search.errors import SearchError
from search.propose.space import Choices, Value

SPACES = ("widths", "full")
"""Those of dimensions, which a file can narrow."""


def read(path: Path) -> tuple[str | None, dict[str, Any]]:
    """Return the space that the file is for, None where it does not say, and its entries.

    Raises:
        SearchError: It cannot be read, or is no such file.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SearchError(f"--space-file {path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, thousands of digits or brackets
        raise SearchError(f"--space-file {path}: is not TOML ({reason(error)})") from error
    space = data.pop("space", None)
    if space is not None and space not in SPACES:
        raise SearchError(
            f"--space-file {path}: space must be one of {', '.join(SPACES)}, but got {shown(space)}"
        )
    return space, data


def narrow(path: Path, entries: Mapping[str, Any], choices: Choices) -> dict[str, tuple[Value, ...]]:
    """Return the values that are left of each dimension that `entries` name.

    Raises:
        SearchError: A dimension that the space lacks, or a value that it does not have.
    """
    narrowed = {}
    for key, wanted in entries.items():
        where = f"--space-file {path}: {key}"
        if key not in choices:
            near = nearest(key, choices)
            hint = f"did you mean {near}? " if near else ""
            raise SearchError(f"{where}: unknown; {hint}known are {', '.join(choices)}")
        narrowed[key] = _left(where, wanted, choices[key])
    return narrowed


def _left(where: str, wanted: Any, values: Collection[Value]) -> tuple[Value, ...]:
    if isinstance(wanted, Mapping):
        return _between(where, wanted, values)
    asked = wanted if isinstance(wanted, list) else [wanted]
    for value in asked:
        # True is 1 to Python, and 3.0 is 3: a user may write 3.0 for 3, but not True for 1.
        if isinstance(value, bool) or value not in values:
            raise SearchError(f"{where}: {shown(value)} is not among its values, {_listed(values)}")
    if not asked:
        raise SearchError(f"{where}: no value is left; choose among {_listed(values)}")
    return tuple(value for value in values if value in asked)


def _between(where: str, limits: Mapping[str, Any], values: Collection[Value]) -> tuple[Value, ...]:
    for name, limit in limits.items():
        if name not in ("min", "max"):
            raise SearchError(f"{where}: expected min and max, but got {name!r}")
        if isinstance(limit, bool) or not isinstance(limit, int | float):
            raise SearchError(f"{where}: {name} must be a number, but got {shown(limit)}")
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) < len(values):
        raise SearchError(f"{where}: has no order, so list its values: {_listed(values)}")
    low, high = limits.get("min", numbers[0]), limits.get("max", numbers[-1])
    left = tuple(value for value in numbers if low <= value <= high)
    if not left:
        raise SearchError(
            f"{where}: nothing from {shown(low)} to {shown(high)}; its values are {_listed(values)}"
        )
    return left


def _listed(values: Collection[Value]) -> str:
    return ", ".join(str(value) for value in values)
