"""What the command lines of train.py and the search share: their parser, values of flags, the place of a run.

What reads a value raises argparse.ArgumentTypeError.
"""

import argparse
from pathlib import Path
from typing import Any, NoReturn

LARGEST_SEED = 2**63 - 1
"""More than that torch does not take."""


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line and leaves with 2; the usage would bury it.

    Args:
        who: Begins the line.
        way_out: Ends it.
        settings: Of argparse.ArgumentParser.
    """

    def __init__(self, *, who: str, way_out: str, **settings: Any) -> None:
        # A command line is read again, from run.json, and a shortened flag may mean another one by then.
        super().__init__(allow_abbrev=False, **settings)
        self._who, self._way_out = who, way_out

    def error(self, message: str) -> NoReturn:
        """Say it."""
        self.exit(2, f"{self._who}: error: {message}{self._way_out}\n")


def add_place(parser: argparse.ArgumentParser, out: str, resume: str) -> None:
    """Add the flags that say where a run is kept, and `--debug`.

    Args:
        parser: Where to.
        out: Folder of the runs by default.
        resume: The help of `--resume`.
    """
    add = parser.add_argument_group("where").add_argument
    add("--out", type=Path, default=Path(out), metavar="DIR", help=f"default {out}")
    add(
        "--name",
        type=plain_name,
        help="folder below --out (default: date and time; with --resume the newest)",
    )
    add("--resume", action="store_true", help=resume)
    add("--debug", action="store_true", help="show the traceback of an error")


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    return _whole(text, at_least=1)


def natural(text: str) -> int:
    """Read a whole number of at least 0."""
    return _whole(text, at_least=0)


def seed(text: str) -> int:
    """Read a seed."""
    value = natural(text)
    if value > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"must be at most {LARGEST_SEED}, got {value}")
    return value


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
