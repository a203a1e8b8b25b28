"""Figures and words as every command and page of the application shows them."""

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share of 0 to 1 as a percentage: 0.8412 as "84.1 %", None as "-"."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def duration(seconds: float) -> str:
    """Return seconds as "8.4 s", "12 min 5 s" or "3 h 20 min"."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min"


def clock(seconds: float) -> str:
    """Return seconds as a clock shows them: "0:09", "12:05", "1:02:05"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def shape(sizes: Iterable[int]) -> str:
    """Return lengths joined by "x": (3, 32, 32) as "3x32x32"."""
    return "x".join(map(str, sizes))


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: "1 epoch", "1,200 epochs"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def reason(error: BaseException) -> str:
    """Return why a library refuses what it was given, as one line.

    The advice that some libraries add is for programmers and is left out: NumPy's, to load pickled objects
    all the same, would run what a stranger's file holds; Python's, to raise its limit on digits, has no flag.
    """
    text = " ".join(str(error).split())
    if "pickle" in text:
        return "it holds Python objects, which are never loaded"
    return text.partition("; use sys.")[0] or type(error).__name__


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return the member of `known` that `word` shortens or misspells, None where none is near."""
    longer = sorted((each for each in known if word and each.startswith(word)), key=len)
    if longer:
        return longer[0]
    return next(iter(get_close_matches(word, list(known), 1)), None)


def unknown(word: str, known: Collection[str]) -> str:
    """Return the end of an error about a word that is not one of `known`: the nearest, and all of them."""
    near = nearest(word, known)
    hint = f"did you mean {near}? " if near else ""
    return f"unknown; {hint}choose one of {', '.join(known)}"


def markdown_cell(text: str) -> str:
    r"""Return a name as it may be in a Markdown table, on one line: strangers name classes and data sets.

    What could end the cell, or begin HTML, code or a link, is escaped: "a|b" becomes "a\|b".
    """
    escaped = re.sub(r"[\\|`\[]", r"\\\g<0>", text).replace("<", "&lt;")
    return " ".join(escaped.split())
