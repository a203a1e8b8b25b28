"""How rfcalc writes figures and words: one wording for reports, findings and errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import floor

__all__ = ["decimal", "listed", "nearest", "per_axis", "percent", "plural", "shape"]


def per_axis(values: Sequence[object]) -> str:
    """Return one number where all axes agree, h x w where they do not; "-" for a missing one."""
    texts = ["-" if value is None else str(value) for value in values]
    return texts[0] if len(set(texts)) == 1 else "x".join(texts)


def percent(share: float) -> str:
    """Return a share of 0 to 1 in per cent; rounded down from 10 on, so that 100 % means all."""
    if share == 0:
        return "none"
    return f"{100 * share:.2g} %" if share < 0.095 else f"{floor(100 * share)} %"


def decimal(value: Fraction | int | None) -> str:
    """Return an exact number as people read it: halves as decimals, other fractions as they are."""
    if value is None:
        return "-"
    exact = Fraction(value)
    if exact.denominator == 1:
        return str(exact.numerator)
    return str(float(exact)) if exact.denominator in (2, 4) else str(exact)


def shape(lengths: Iterable[int]) -> str:
    """Return lengths joined by "x": (16, 32, 32) as "16x32x32"."""
    return "x".join(map(str, lengths))


def plural(number: int, noun: str) -> str:
    """Return a number with its noun: "1 unit", "1,200 units"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Sequence[str], at_most: int) -> str:
    """Return names joined by commas, and how many more there are than `at_most`."""
    more = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {more} more" if more > 0 else "")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown word: the nearest known one, or all of them."""
    choices = sorted(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(choices)}"
