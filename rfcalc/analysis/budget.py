"""The limits that a network must keep, and what judging it by them says.

Names are the same everywhere, but for the hyphen: `max_params` in Python and JSON, `max-params` in TOML,
`--max-params` on the command line. A margin is signed and holds when it is <= 0, as Optuna's constraints do.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rfcalc.errors import BudgetError
from rfcalc.text import listed, nearest, shape

HIGHEST = 2**63 - 1
"""Largest limit: more than any network has, and what JSON readers and databases hold."""

if TYPE_CHECKING:
    from rfcalc.analysis.analyze import Analysis, Row
    from rfcalc.analysis.structure import Structure


NAMED = 4
"""Layers that the note of a limit names."""


def _limit(default: int | bool | None, meaning: str, lowest: int = 0) -> Any:
    return dataclasses.field(default=default, metadata={"meaning": meaning, "lowest": lowest})


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The limits; one that is None or False is not judged.

    Raises:
        BudgetError: A value is impossible, such as a negative count or a text.
    """

    min_receptive_field: int | None = _limit(
        None, "pixels; the smaller of h and w, of the last features before global pooling", lowest=1
    )
    max_params: int | None = _limit(None, "unique parameters, frozen ones included, buffers not")
    max_macs: int | None = _limit(None, "multiply-accumulates of convolution and linear layers, per image")
    max_peak_activation_bytes: int | None = _limit(None, "largest sum of live float32 tensors, per image")
    min_depthwise_separable: int | None = _limit(None, "pairs of a depthwise and a 1x1 convolution")
    min_dilated: int | None = _limit(None, "convolutions with dilation > 1 and kernel > 1")
    require_gap: bool = _limit(False, "an op that averages the whole map, before the output")
    forbid_max_pool: bool = _limit(False, "no max pooling anywhere")
    forbid_holes: bool = _limit(False, "no pixel skipped within the receptive field of the last features")
    stages: int | None = _limit(None, "children in a family that counts up from 1 (c1..c4)", lowest=1)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field.name, getattr(self, field.name), field)

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str) -> Budget:
        """Read the limits from a TOML table with hyphenated keys.

        Args:
            table: The content of the table `[tool.rfcalc]`.
            where: The place that an error names, such as "pyproject.toml [tool.rfcalc]".

        Raises:
            BudgetError: A key is unknown (the nearest known one is named) or its value impossible.
        """
        known = [key_of(field.name) for field in dataclasses.fields(cls)]
        for key in table:
            if key not in known:
                raise BudgetError(f"{where}: unknown key {key!r}; {nearest(key, known)}")
        try:
            return cls(**{key.replace("-", "_"): value for key, value in table.items()})
        except BudgetError as error:
            raise BudgetError(f"{where}: {error}") from None

    def limits(self) -> dict[str, Any]:
        """The limits that are set, by name."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: bound for name, bound in found.items() if bound is not None and bound is not False}


@dataclass(frozen=True)
class Limit:
    """One limit of a budget and what the network has.

    `value` and `margin` are None where the limit cannot be judged; `note` then says why. Otherwise `note`
    names the layer that the value comes from, or the one to look at first.
    """

    name: str
    bound: int | bool
    value: int | bool | None
    margin: int | None
    note: str

    @property
    def held(self) -> bool | None:
        """True or False, None where it is not judged."""
        return None if self.margin is None else self.margin <= 0


@dataclass(frozen=True)
class Verdict:
    """A network judged by a budget, limit by limit."""

    limits: tuple[Limit, ...]

    @property
    def ok(self) -> bool:
        """True when no limit is broken; one that is not judged is neither held nor broken."""
        return not self.broken

    @property
    def margins(self) -> dict[str, int]:
        """Signed margin of each judged limit by name; <= 0 holds."""
        return {limit.name: limit.margin for limit in self.limits if limit.margin is not None}

    @property
    def broken(self) -> tuple[Limit, ...]:
        """The limits that do not hold."""
        return tuple(limit for limit in self.limits if limit.held is False)


def judge(analysis: Analysis, budget: Budget) -> Verdict:
    """Judge an analysed network by a budget.

    A broken yes-or-no limit has the margin 1, a held one 0; `stages` must be met exactly, its margin is the
    distance.
    """
    return Verdict(tuple(_judge_one(analysis, name, bound) for name, bound in budget.limits().items()))


def _judge_one(analysis: Analysis, name: str, bound: int | bool) -> Limit:
    value, note = _MEASURES[name](analysis)
    if value is None:
        return Limit(name, bound, None, None, note)
    kind = name.partition("_")[0]
    if kind == "min":
        margin = bound - value
    elif kind == "max":
        margin = value - bound
    elif kind == "require":
        margin = int(not value)
    elif kind == "forbid":
        margin = int(bool(value))
    else:
        margin = abs(value - bound)
    return Limit(name, bound, value, margin, note)


def _receptive_field(analysis: Analysis) -> tuple[int | None, str]:
    field = analysis.field
    if analysis.field_row is None:
        return None, "no local features"
    at = f"at {analysis.rows[analysis.field_row].name}"
    if "unknown" in field.flags:
        return None, f"{at}: an op without a rule, so the size is not known"
    return min(field.size), f"{at}, an upper bound" if "upper bound" in field.flags else at


def _largest(unit: str, total: Callable[[Analysis], int], of: Callable[[Row], int]) -> Any:
    def measure(analysis: Analysis) -> tuple[int | None, str]:
        row = max(analysis.rows, key=of, default=None)
        return total(analysis), f"largest: {row.name}, {of(row):,}{unit}" if row and of(row) else ""

    return measure


def _counted(names: Callable[[Analysis], Iterable[str]]) -> Any:
    def measure(analysis: Analysis) -> tuple[int | None, str]:
        found = list(names(analysis))
        return len(found), listed(found, NAMED)

    return measure


def _holes(analysis: Analysis) -> tuple[int | None, str]:
    if "holes" not in analysis.field.flags:
        return False, ""
    first = next((row.name for row in analysis.rows if "holes" in row.field.flags), "")
    return True, f"first at {first}" if first else ""


def _gap(analysis: Analysis) -> tuple[int | None, str]:
    names = analysis.structure.global_average_pools
    return bool(names), listed(names, NAMED) if names else why_no_gap(analysis.structure)


def why_no_gap(structure: Structure) -> str:
    """Return what comes near a global average pooling, and why it is none; "" where nothing does."""
    if structure.partial_pools:
        pool = structure.partial_pools[-1]
        return f"{pool.name} averages {shape(pool.window)} of the {shape(pool.map)} map, not all of it"
    if structure.gate_pools:
        gates = listed(structure.gate_pools, NAMED)
        return f"{gates}: goes back into a map, as a gate does, and is not what the output is made of"
    return ""


def _max_pool(analysis: Analysis) -> tuple[int | None, str]:
    names = analysis.structure.max_pools
    return bool(names), listed(names, NAMED)


def _stages(analysis: Analysis) -> tuple[int | None, str]:
    names = analysis.structure.stages
    if not names:
        return None, "no children named letters + number from 1 (c1, c2, ...)"
    return len(names), listed(names, NAMED)


_MEASURES: dict[str, Callable[[Analysis], tuple[int | None, str]]] = {
    "min_receptive_field": _receptive_field,
    "max_params": _largest("", lambda analysis: analysis.params, lambda row: row.params),
    "max_macs": _largest("", lambda analysis: analysis.macs, lambda row: row.macs),
    "max_peak_activation_bytes": _largest(
        " bytes", lambda analysis: analysis.peak_activation_bytes, lambda row: row.activation_bytes
    ),
    "min_depthwise_separable": _counted(
        lambda analysis: [
            f"{pair.depthwise} + {pair.pointwise}" for pair in analysis.structure.depthwise_separable
        ]
    ),
    "min_dilated": _counted(lambda analysis: analysis.structure.dilated),
    "require_gap": _gap,
    "forbid_max_pool": _max_pool,
    "forbid_holes": _holes,
    "stages": _stages,
}


def read_budget(path: Path) -> Budget:
    """Read a budget from a TOML file: the keys at its top, or under `[tool.rfcalc]`.

    Raises:
        BudgetError: The file cannot be read, is no TOML, or holds an unknown key or an impossible value.
    """
    content = _read_toml(path)
    table = _own_table(content)
    if table is not None:
        return Budget.from_table(table, f"{path} [tool.rfcalc]")
    if path.name == "pyproject.toml":
        raise BudgetError(
            f"{path} has no [tool.rfcalc] table: write the limits under it, or name another file"
        )
    return Budget.from_table(content, str(path))


def find_budget(start: Path) -> tuple[Budget, Path] | None:
    """The budget of the nearest pyproject.toml with a `[tool.rfcalc]` table, in `start` or above it."""
    folder = start.resolve()
    for candidate in (folder, *folder.parents):
        path = candidate / "pyproject.toml"
        if path.is_file():
            table = _own_table(_read_toml(path))
            if table is not None:
                return Budget.from_table(table, f"{path} [tool.rfcalc]"), path
    return None


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


def key_of(name: str) -> str:
    """`max_params` as TOML and the command line write it: `max-params`."""
    return name.replace("_", "-")


def _check(name: str, value: object, field: dataclasses.Field[Any]) -> None:
    yes_or_no = isinstance(field.default, bool)
    if yes_or_no:
        if not isinstance(value, bool):
            raise BudgetError(f"{key_of(name)} must be true or false, but got {_short(value)}")
        return
    if value is None:
        return
    lowest = field.metadata["lowest"]
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise BudgetError(f"{key_of(name)} must be a whole number >= {lowest}, but got {_short(value)}")
    if value > HIGHEST:  # TOML's hexadecimal numbers may be longer than Python prints
        raise BudgetError(f"{key_of(name)} must be at most {HIGHEST}, but got {_short(value)}")


def _short(value: object) -> str:
    """Return the value as one short text, whatever it is."""
    try:
        text = repr(value)
    except (ValueError, RecursionError) as error:
        return f"a {type(value).__name__} that cannot be shown ({error})"
    return text if len(text) <= 80 else f"{text[:77]}..."
