"""How rfcalc writes figures and words: one wording for reports, findings and errors."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import floor

__all__ = [
    "decimal",
    "human",
    "human_bytes",
    "listed",
    "nearest",
    "per_axis",
    "percent",
    "plural",
    "quantity",
    "shape",
]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


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


def quantity(text: str) -> int:
    """Read a whole number with or without a unit: "99,999", "16.5 M", "256 kB" (1000), "256 KiB" (1024).

    Raises:
        ValueError: It is none; the message says what would be.
    """
    found = re.fullmatch(
        r"([+-]?\d[\d,_]{0,30}(?:\.\d{1,9})?)\s*([kmg]i?|)b?", text.strip(), re.IGNORECASE | re.ASCII
    )
    number = (
        Fraction(found[1].replace(",", "").replace("_", "")) * _UNITS[found[2].lower()] if found else None
    )
    if number is None or number.denominator != 1:
        raise ValueError("write a whole number, or one with a unit such as 99,999, 4.5M, 256kB or 256KiB")
    return number.numerator


def human(number: int, unit: str = "") -> str:
    """Return a number in three digits and the prefix of its thousands: 97,912 as "97.9 k"."""
    size, letter = abs(number), ""
    value = Fraction(size)
    for letter in ("", "k", "M", "G", "T"):
        # 999.5 would be written as 1000.
        if value < Fraction(1999, 2) or letter == "T":
            break
        value /= 1000
    sign = "-" if number < 0 else ""
    if not letter:
        return f"{sign}{size} {unit}".rstrip()
    digits = 2 if value < Fraction(1999, 200) else 1 if value < Fraction(1999, 20) else 0
    return f"{sign}{float(value):.{digits}f} {letter}{unit}"


def human_bytes(number: int) -> str:
    """Return an amount of memory in decimal units: 382,000 as "382 kB"."""
    return human(number, "B")
