"""The limits that a network must keep, and what judging it by them says.

Names are the same everywhere, but for the hyphen: `max_params` in Python and JSON, `max-params` in TOML,
`--max-params` on the command line. A margin is signed and holds when it is <= 0, as Optuna's constraints do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rfcalc.analysis.measures import measured
from rfcalc.errors import BudgetError
from rfcalc.text import nearest, quantity

HIGHEST = 2**63 - 1
"""Largest limit: more than any network has, and what JSON readers and databases hold."""

if TYPE_CHECKING:
    from rfcalc.analysis.result import Analysis

DTYPES = ("float32", "float16", "int8")
"""Element types that weights and activations may be counted in."""

SETTINGS = ("dtype",)
"""Fields of `Budget` that say how a limit is judged and are no limit themselves."""


def _limit(default: int | bool | str | tuple[str, ...] | None, meaning: str, lowest: int = 0) -> Any:
    return dataclasses.field(default=default, metadata={"meaning": meaning, "lowest": lowest})


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The limits; one that is None, False or empty is not judged.

    Raises:
        BudgetError: A value is impossible, such as a negative count or a text.
    """

    min_receptive_field: int | None = _limit(
        None, "pixels; the smaller of h and w, of the last features before global pooling", lowest=1
    )
    max_params: int | None = _limit(None, "unique parameters, frozen ones included, buffers not")
    max_macs: int | None = _limit(None, "multiply-accumulates of convolution and linear layers, per image")
    max_peak_activation_bytes: int | None = _limit(
        None, "largest sum of live tensors of --dtype, per image; in int8 with in-place ops"
    )
    max_weight_bytes: int | None = _limit(None, "bytes of all parameters in --dtype")
    min_output_map: int | None = _limit(
        None, "rows and columns of the last features before global pooling; the smaller", lowest=1
    )
    min_depthwise_separable: int | None = _limit(None, "pairs of a depthwise and a 1x1 convolution")
    min_dilated: int | None = _limit(None, "convolutions with dilation > 1 and kernel > 1")
    require_gap: bool = _limit(False, "an op that averages the whole map, before the output")
    forbid_max_pool: bool = _limit(False, "no max pooling anywhere")
    forbid_holes: bool = _limit(False, "no pixel skipped within the receptive field of the last features")
    forbid_ops: tuple[str, ...] = _limit((), 'ops that the target lacks, such as silu or "max pool"')
    stages: int | None = _limit(None, "children in a family that counts up from 1 (c1..c4)", lowest=1)
    dtype: str = _limit("float32", "element type of weight and activation bytes: float32, float16 or int8")

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
            return cls(**{key.replace("-", "_"): _read(key, value) for key, value in table.items()})
        except BudgetError as error:
            raise BudgetError(f"{where}: {error}") from None

    def with_limits(self, limits: Mapping[str, Any]) -> Budget:
        """Return the budget with these limits in the place of those of the same names, the others kept."""
        return replace(self, **limits)

    def limits(self) -> dict[str, Any]:
        """The limits that are set, by name."""
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: bound
            for name, bound in found.items()
            if bound not in (None, ()) and bound is not False and name not in SETTINGS
        }


@dataclass(frozen=True)
class Limit:
    """One limit of a budget and what the network has.

    `value` and `margin` are None where the limit cannot be judged; `note` then says why. Otherwise `note`
    names the layer that the value comes from, or the one to look at first; `layer` is its name alone, "" for
    none.
    """

    name: str
    bound: int | bool
    value: int | bool | None
    margin: int | None
    note: str
    layer: str = ""

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
    return Verdict(
        tuple(_judge_one(analysis, name, bound, budget) for name, bound in budget.limits().items())
    )


def _judge_one(analysis: Analysis, name: str, bound: Any, budget: Budget) -> Limit:
    value, note, layer = measured(name, analysis, dtype=budget.dtype, words=budget.forbid_ops)
    if isinstance(bound, tuple):
        bound = True
    if value is None:
        return Limit(name, bound, None, None, note, layer)
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
    return Limit(name, bound, value, margin, note, layer)


def key_of(name: str) -> str:
    """`max_params` as TOML and the command line write it: `max-params`."""
    return name.replace("_", "-")


def _read(key: str, value: object) -> Any:
    """Return a value of TOML as `Budget` takes it: "256 KiB" as a number, a list of ops as a tuple."""
    names = {key_of(field.name): field.default for field in dataclasses.fields(Budget)}
    if isinstance(names[key], tuple):
        return tuple(value) if isinstance(value, list) else value
    if isinstance(value, str) and key not in SETTINGS:
        try:
            return quantity(value)
        except ValueError as error:
            raise BudgetError(f"{key} must be a whole number, but got {_short(value)}: {error}") from None
    return value


def _check(name: str, value: object, field: dataclasses.Field[Any]) -> None:
    if name in SETTINGS:
        if value not in DTYPES:
            raise BudgetError(f"{key_of(name)} must be one of {', '.join(DTYPES)}, but got {_short(value)}")
        return
    if isinstance(field.default, tuple):
        if not isinstance(value, tuple) or not all(isinstance(word, str) and word for word in value):
            raise BudgetError(f"{key_of(name)} must be a list of names of ops, but got {_short(value)}")
        return
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
