"""The error of this package, and how its texts show a value."""

from __future__ import annotations

LONGEST = 80
"""Characters of a value that an error shows."""


class SpecError(ValueError):
    """A network specification breaks a rule. The text names the place, the value and the rule."""


def shown(value: object) -> str:
    """Return a value as an error shows it: its repr, shortened; a number too long to print by its length."""
    try:
        text = repr(value)
    except (ValueError, RecursionError) as error:  # thousands of digits, or thousands of brackets
        return f"a {type(value).__name__} that cannot be shown ({type(error).__name__}: {error})"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
