"""Options: everything that the command line says, one frozen field a flag; torch is not imported.

A field is declared once, with its flag, its reader and its help; `arguments` makes the parser of it. The
limits of a budget are the fields of `Budget`, which carry their own help.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rfcalc.command.memory import parse_memory
from rfcalc.errors import RfcalcError, UsageError
from rfcalc.render.columns import COLUMNS
from rfcalc.text import quantity
from rfcalc.trace.inputs import Input, parse_input

FORMATS = ("table", "json", "csv", "md", "github", "junit", "sarif")
MACHINES = ("github", "junit", "sarif")
"""Formats whose readers want a whole file even where the command fails."""

GROUPS = ("", "model", "report", "questions", "budget", "gate")
"""Headings of the help, in order; "" has none."""


@dataclass(frozen=True)
class Flag:
    """How a field appears on the command line.

    Attributes:
        help: What it does; one line.
        group: One of `GROUPS`.
        word: The flag; "" is the field's name with dashes.
        metavar: Placeholder of the value in the help; "" for a switch, which takes none.
        read: Makes the value of its text.
        choices: The texts that are allowed; () for any.
        repeated: Whether the flag may be given several times; the field is then a tuple.
    """

    help: str
    group: str
    word: str = ""
    metavar: str = ""
    read: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    repeated: bool = False


def _flag(default: Any, help: str, group: str, **settings: Any) -> Any:
    return dataclasses.field(default=default, metadata={"flag": Flag(help, group, **settings)})


def parse_arguments(texts: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """Read `--arg name=value` pairs; a value that is no Python literal stays a text.

    Raises:
        UsageError: One is not of the form name=value.
    """
    arguments = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--arg {text}: write name=value, such as --arg num_classes=10")
        try:
            arguments[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            # The last two: brackets nested too deep to be a value.
            arguments[name] = value
    return arguments


def whole_number(text: str) -> int:
    """Read a whole number, "99,999" and "256 KiB" too; for argparse."""
    try:
        return quantity(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number: {error}") from None


def _width(text: str) -> int:
    width = whole_number(text)
    if not 40 <= width <= 10_000:
        bound = "at least 40" if width < 40 else "at most 10,000"
        raise argparse.ArgumentTypeError(f"{bound}, but got {width}")
    return width


def _depth(text: str) -> int:
    depth = whole_number(text)
    if depth < 1:
        raise argparse.ArgumentTypeError(f"at least 1, but got {depth}")
    return depth


def names(text: str) -> tuple[str, ...]:
    """Read names that commas part."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def through_argparse(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a reader whose errors pass argparse, which would put the name of the flag before it again."""

    def reader(text: str) -> Any:
        try:
            return read(text)
        except RfcalcError as error:
            raise UsageError(str(error)) from error

    return reader


@dataclass(frozen=True)
class Options:
    """The command line, read and checked as far as that goes without the model."""

    targets: tuple[str, ...]
    inputs: tuple[Input, ...] = _flag(
        (Input((3, 32, 32)),),
        "without the batch (default: 3x32x32); once for each input of forward(): 3x32x32, tokens:128, "
        "mask=uint8:1x32x32, batch.image=3x32x32, t=scalar",
        "model",
        word="--input",
        metavar="[NAME=][KIND:]SIZE",
        read=parse_input,
        repeated=True,
    )
    arguments: tuple[str, ...] = _flag(
        (),
        "keyword argument of the model's class or function; may be repeated",
        "model",
        word="--arg",
        metavar="NAME=VALUE",
        repeated=True,
    )
    train: bool = _flag(False, "analyse in training mode (default: eval)", "model")
    count_all: bool = _flag(
        False, "count attention products, layers on constants, sampling and Fourier transforms, too", "model"
    )
    max_memory: int | None = _flag(
        None,
        "memory that the model may take beyond what PyTorch has taken: 4G, 512M (Linux; default: no limit)",
        "model",
        metavar="SIZE",
        read=parse_memory,
    )
    format: str = _flag(
        "",
        "default: table, or what the suffix of --output says",
        "report",
        metavar="{" + ",".join(FORMATS) + "}",
        choices=FORMATS,
    )
    output: Path | None = _flag(
        None,
        "write there instead of to stdout, whole or not at all; a pipe or device is written into",
        "report",
        metavar="FILE",
        read=Path,
    )
    columns: tuple[str, ...] | None = _flag(
        None, f"columns to show, of {', '.join(COLUMNS)}", "report", metavar="A,B,...", read=names
    )
    every_row: bool = _flag(False, "a row for every op, activations too", "report", word="--all")
    depth: int | None = _flag(
        None,
        "a line for each module, N parts of the path deep, repeats folded",
        "report",
        metavar="N",
        read=_depth,
    )
    width: int | None = _flag(
        None, "columns of text (default: the terminal's)", "report", metavar="N", read=_width
    )
    explain: str | None = _flag(
        None,
        "why its receptive field is what it is, and what would change it",
        "questions",
        metavar="LAYER",
    )
    lint: bool = _flag(
        False, "holes, ignored pixels, checkerboards, misaligned joins, idle layers", "questions"
    )
    erf: bool = _flag(False, "a column with the closed-form effective receptive field", "questions")
    erf_map: Path | None = _flag(
        None, "draw the measured one (needs matplotlib)", "questions", metavar="FILE.png", read=Path
    )
    verify: bool = _flag(False, "compare every row with the float64 gradient oracle", "questions")
    budget_file: Path | None = _flag(
        None, "limits from a file", "budget", word="--budget", metavar="FILE.toml", read=Path
    )
    no_budget: bool = _flag(False, "judge nothing", "budget")
    against: str = _flag(
        "",
        "compare with a base: a git ref, checked out into a temporary folder, or a file of --format json",
        "gate",
        metavar="REF|FILE.json",
    )
    suggest: bool = _flag(
        False, "the smallest changes that bring a broken network into its budget, each verified", "gate"
    )
    init: bool = _flag(
        False, "write a [[tool.rfcalc.network]] table with the figures of TARGET as its limits", "gate"
    )
    quiet: bool = _flag(False, "print the broken limits and the verdict only", "gate")
    limits: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    growth: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    debug: bool = _flag(False, "show the traceback of an error", "")

    @property
    def target(self) -> str:
        """The targets as messages show them."""
        return ", ".join(self.targets)
