"""Limits on growth against a base: "2%" or an absolute amount, and what judging by them says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Any

from rfcalc.analysis.budget import Limit, Verdict, key_of
from rfcalc.errors import BudgetError
from rfcalc.text import nearest, quantity

if TYPE_CHECKING:
    from rfcalc.analysis.result import Analysis

__all__ = ["Allowed", "Base", "Figures", "Growth", "figures_of", "judge_growth"]


@dataclass(frozen=True)
class Figures:
    """What is compared with a base; None: not known, e.g. no local features.

    `receptive_field` is the smaller of h and w, as a budget judges it.
    """

    params: int | None
    macs: int | None
    receptive_field: int | None
    peak_activation_bytes: int | None
    weight_bytes: int | None


def figures_of(analysis: Analysis, dtype: str = "float32") -> Figures:
    """Return the figures of an analysed network.

    Args:
        analysis: The network.
        dtype: Element type of the bytes.
    """
    local = analysis.field_row is not None and "unknown" not in analysis.field.flags
    return Figures(
        analysis.params,
        analysis.macs,
        min(analysis.field.size) if local else None,
        analysis.peak_bytes[dtype],
        analysis.weight_bytes[dtype],
    )


@dataclass(frozen=True)
class Base:
    """What a network is compared with.

    Attributes:
        label: "main (1a2b3c4)", "before.json".
        figures: None where the base has no such network.
    """

    label: str
    figures: Figures | None


@dataclass(frozen=True)
class Allowed:
    """How much a figure may grow: a share of the base, or an amount."""

    share: Fraction | None = None
    amount: int = 0

    @classmethod
    def parse(cls, text: object, key: str) -> Allowed:
        """Read "2%", "0.5 %", "500", "10 kB" or a whole number.

        Raises:
            BudgetError: It is none of them.
        """
        if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
            return cls(amount=text)
        if isinstance(text, str):
            found = re.fullmatch(r"\+?(\d{1,6}(?:\.\d{1,6})?)\s*%", text.strip(), re.ASCII)
            if found:
                return cls(share=Fraction(found[1]) / 100)
            try:
                amount = quantity(text)
            except ValueError:
                amount = -1
            if amount >= 0:
                return cls(amount=amount)
        raise BudgetError(
            f'{key} must be a share such as "2%" or an amount such as 500, but got {text!r:.60}'
        )

    def of(self, base: int) -> int:
        """Return the growth that is allowed over this base, rounded down."""
        return self.amount if self.share is None else floor(self.share * base)


def _meaning(text: str) -> dict[str, str]:
    return {"meaning": text}


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The limits on growth; None: not limited."""

    max_params_growth: Allowed | None = field(
        default=None, metadata=_meaning("parameters over those of the base: a share such as 2%% or an amount")
    )
    max_macs_growth: Allowed | None = field(default=None, metadata=_meaning("MACs, likewise"))
    max_peak_activation_bytes_growth: Allowed | None = field(
        default=None, metadata=_meaning("peak activation bytes, likewise")
    )
    max_weight_bytes_growth: Allowed | None = field(default=None, metadata=_meaning("weight bytes, likewise"))
    max_receptive_field_growth: Allowed | None = field(
        default=None, metadata=_meaning("pixels of the receptive field, likewise")
    )
    max_receptive_field_loss: Allowed | None = field(
        default=None, metadata=_meaning("pixels that the receptive field may lose")
    )

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str) -> Growth:
        """Read the limits on growth from a TOML table with hyphenated keys.

        Raises:
            BudgetError: A key is unknown or its value no share and no amount.
        """
        known = [key_of(each.name) for each in dataclasses.fields(cls)]
        for key in table:
            if key not in known:
                raise BudgetError(f"{where}: unknown key {key!r}; {nearest(key, known)}")
        try:
            return cls(**{key.replace("-", "_"): Allowed.parse(value, key) for key, value in table.items()})
        except BudgetError as error:
            raise BudgetError(f"{where}: {error}") from None

    def limits(self) -> dict[str, Allowed]:
        """The limits that are set, by name."""
        found = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return {name: allowed for name, allowed in found.items() if allowed is not None}


def judge_growth(now: Figures, base: Base, growth: Growth) -> Verdict:
    """Judge the growth over a base; what either side does not know is not judged."""
    return Verdict(tuple(_judge_one(now, base, name, allowed) for name, allowed in growth.limits().items()))


def _judge_one(now: Figures, base: Base, name: str, allowed: Allowed) -> Limit:
    what, _, way = name.removeprefix("max_").rpartition("_")
    before = None if base.figures is None else getattr(base.figures, what)
    value = getattr(now, what)
    if before is None or value is None:
        side = "is not known" if value is None else f"is not in {base.label}"
        subject = "the network" if base.figures is None else f"its {what.replace('_', ' ')}"
        return Limit(name, allowed.amount, None, None, f"{subject} {side}")
    grown = value - before if way == "growth" else before - value
    bound = allowed.of(before)
    share = f", {100 * (value - before) / before:+.2f} %" if before else ""
    return Limit(name, bound, grown, grown - bound, f"{before:,} in {base.label}, {value:,} now{share}")
