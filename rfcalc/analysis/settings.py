"""`[tool.rfcalc]` of pyproject.toml and other budget files: limits, limits on growth, listed networks."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rfcalc.analysis.budget import Budget, key_of
from rfcalc.analysis.growth import Growth
from rfcalc.errors import BudgetError
from rfcalc.text import nearest

__all__ = ["Listed", "Settings", "find_budget", "find_names", "find_settings", "read_budget", "read_settings"]

_OF_NETWORKS = ("target", "name", "input", "arg")
_OF_TABLE = ("network", "against", "names")


@dataclass(frozen=True)
class Listed:
    """One `[[tool.rfcalc.network]]`.

    Attributes:
        target: Model file or module, as on the command line; a path is relative to the file's folder.
        name: What reports call it; default: the target.
        inputs: As --input takes them; () for the default.
        arguments: Keyword arguments of the class or function.
        budget: The common limits, with its own in their place.
        growth: The limits on growth, likewise.
    """

    target: str
    name: str
    inputs: tuple[str, ...]
    arguments: Mapping[str, Any]
    budget: Budget
    growth: Growth


@dataclass(frozen=True)
class Settings:
    """What one file says.

    Attributes:
        path: The file.
        budget: The common limits.
        growth: The common limits on growth.
        against: The base to compare with; "" for none.
        networks: The listed ones.
    """

    path: Path
    budget: Budget = field(default_factory=Budget)
    growth: Growth = field(default_factory=Growth)
    against: str = ""
    networks: tuple[Listed, ...] = ()


def read_budget(path: Path) -> Budget:
    """Read a budget from a TOML file: the keys at its top, or under `[tool.rfcalc]`.

    Raises:
        BudgetError: The file cannot be read, is no TOML, or holds an unknown key or an impossible value.
    """
    return read_settings(path).budget


def read_settings(path: Path) -> Settings:
    """`read_budget` with what else the file says.

    Raises:
        BudgetError: As there; or a network is listed twice, or one has no target.
    """
    content = _read_toml(path)
    table = _own_table(content)
    if table is not None:
        return _settings(table, path, f"{path} [tool.rfcalc]")
    if path.name == "pyproject.toml":
        raise BudgetError(
            f"{path} has no [tool.rfcalc] table: write the limits under it, or name another file"
        )
    return _settings(content, path, str(path))


def find_budget(start: Path) -> tuple[Budget, Path] | None:
    """The budget of the nearest pyproject.toml with a `[tool.rfcalc]` table, in `start` or above it."""
    found = find_settings(start)
    return None if found is None else (found.budget, found.path)


def find_settings(start: Path) -> Settings | None:
    """`find_budget` with what else that file says."""
    folder = start.resolve()
    for candidate in (folder, *folder.parents):
        path = candidate / "pyproject.toml"
        if path.is_file():
            table = _own_table(_read_toml(path))
            if table is not None:
                return _settings(table, path, f"{path} [tool.rfcalc]")
    return None


def find_names(start: Path, *, above: bool = True) -> tuple[str, Path] | None:
    """Return `names` of the nearest pyproject.toml whose `[tool.rfcalc]` has it, and that file's folder.

    Args:
        start: Folder that is looked in.
        above: Whether the folders above it are, too.

    Raises:
        BudgetError: A file on the way is no TOML, or the value is no dotted name of a module.
    """
    folder = start.resolve()
    for candidate in (folder, *(folder.parents if above else ())):
        path = candidate / "pyproject.toml"
        table = _own_table(_read_toml(path)) if path.is_file() else None
        if table is not None and "names" in table:
            return _names(table, f"{path} [tool.rfcalc]"), candidate
    return None


def _names(table: Mapping[str, Any], where: str) -> str:
    names = table["names"]
    if not isinstance(names, str) or not all(part.isidentifier() for part in names.split(".")):
        raise BudgetError(f"{where}: names must be a module such as models.catalogue, but got {names!r:.60}")
    return names


def _settings(table: Mapping[str, Any], path: Path, where: str) -> Settings:
    limits, growth = _split(table, where, _OF_TABLE)
    against = table.get("against", "")
    if not isinstance(against, str):
        raise BudgetError(f"{where}: against must be a git ref or a JSON file, but got {against!r:.60}")
    if "names" in table:
        _names(table, where)
    entries = table.get("network", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BudgetError(f"{where}: write each network as a table of its own: [[tool.rfcalc.network]]")
    common = Settings(path, Budget.from_table(limits, where), Growth.from_table(growth, where), against)
    networks = tuple(_listed(entry, common, f"{where}, network {i}") for i, entry in enumerate(entries, 1))
    names = [network.name for network in networks]
    for name in names:
        if names.count(name) > 1:
            raise BudgetError(f"{where}: network {name!r} is listed twice; give one of them another name")
    return dataclasses.replace(common, networks=networks)


def _listed(entry: Mapping[str, Any], common: Settings, where: str) -> Listed:
    limits, growth = _split(entry, where, _OF_NETWORKS)
    target, name = entry.get("target"), entry.get("name", entry.get("target"))
    inputs, arguments = entry.get("input", []), entry.get("arg", {})
    if not isinstance(target, str) or not target.strip():
        raise BudgetError(f'{where} has no target: write target = "model.py"')
    if not isinstance(name, str) or not name.strip():
        raise BudgetError(f"{where}: name must be a text, but got {name!r:.60}")
    inputs = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(inputs, list) or not all(isinstance(one, str) for one in inputs):
        raise BudgetError(f'{where}: input must be a text such as "3x32x32" or a list of them')
    if not isinstance(arguments, dict):
        raise BudgetError(f"{where}: arg must be a table such as {{ num_classes = 10 }}")
    own = Budget.from_table(limits, where)
    changed = {key.replace("-", "_"): getattr(own, key.replace("-", "_")) for key in limits}
    grown = Growth.from_table(growth, where).limits()
    return Listed(
        target,
        name,
        tuple(inputs),
        arguments,
        common.budget.with_limits(changed),
        dataclasses.replace(common.growth, **grown),
    )


def _split(
    table: Mapping[str, Any], where: str, further: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the limits and the limits on growth of a table.

    Raises:
        BudgetError: A key is neither, nor one of `further`; the nearest known one is named.
    """
    limits = [key_of(field.name) for field in dataclasses.fields(Budget)]
    growth = [key_of(field.name) for field in dataclasses.fields(Growth)]
    for key in table:
        if key not in (*limits, *growth, *further):
            raise BudgetError(f"{where}: unknown key {key!r}; {nearest(key, [*limits, *growth, *further])}")
    return {k: table[k] for k in table if k in limits}, {k: table[k] for k in table if k in growth}


def _own_table(content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    tool = content.get("tool")
    table = tool.get("rfcalc") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BudgetError(f"cannot read the budget {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, 5,000 digits, thousands of brackets
        raise BudgetError(f"{path} is not valid TOML: {error}") from error
