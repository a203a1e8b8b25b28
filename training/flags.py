"""What train.py and the search accept as values of their flags; each raises argparse.ArgumentTypeError."""

import argparse


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    return _whole(text, at_least=1)


def natural(text: str) -> int:
    """Read a whole number of at least 0."""
    return _whole(text, at_least=0)


def _whole(text: str, at_least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None
    if value < at_least:
        raise argparse.ArgumentTypeError(f"must be at least {at_least}, got {value}")
    return value


def plain_name(text: str) -> str:
    """Read the name of a folder, which may not lead elsewhere."""
    if not text or text.startswith(".") or any(character in text for character in '/\\:*?"<>|\0'):
        raise argparse.ArgumentTypeError(f"a plain folder name is needed, got {text!r}")
    return text
