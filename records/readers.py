"""Readers of flags: from the text of a value to the value.

Each raises argparse.ArgumentTypeError where the text is not such a value; argparse names the flag.
"""

import argparse
import re
from pathlib import Path

LARGEST_SEED = 2**63 - 1
"""The largest seed that torch takes."""


def whole_number(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:  # also of more digits than Python reads
        shown = repr(text if len(text) <= 40 else text[:37] + "...")
        raise argparse.ArgumentTypeError(f"expected a whole number, got {shown}") from None


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    return _at_least(1, text)


def natural(text: str) -> int:
    """Read a whole number of at least 0."""
    return _at_least(0, text)


def ratio(text: str) -> float:
    """Read a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0 such as 1.5, got {text!r}")
    return number


def seed(text: str) -> int:
    """Read a seed: a whole number from 0 to `LARGEST_SEED`."""
    value = natural(text)
    if value > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"must be at most {LARGEST_SEED}, got {value}")
    return value


def plain_name(text: str) -> str:
    """Read the name of a folder, which may not lead elsewhere."""
    if not text or text.startswith(".") or any(character in text for character in '/\\:*?"<>|\0\n\r'):
        raise argparse.ArgumentTypeError(f"a plain folder name is needed, got {text!r}")
    return text


def fraction(text: str) -> float:
    """Read a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return value


def path(text: str) -> Path:
    """Read a path; a URL, which might name a folder after a password, is none."""
    return Path(path_text(text))


def path_text(text: str) -> str:
    """Read a path that stays text."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        raise argparse.ArgumentTypeError(f"a path is needed, got the URL {text!r}")
    return text


def _at_least(least: int, text: str) -> int:
    value = whole_number(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
    return value
