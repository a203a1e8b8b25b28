"""What the command line accepts, read into one frozen `Options`; nothing here imports torch."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from rfcalc._version import __version__
from rfcalc.analysis.budget import Budget, key_of
from rfcalc.errors import InputError, UsageError
from rfcalc.render.columns import COLUMNS

FORMATS = ("table", "json", "csv", "md")
_SUFFIXES = {".json": "json", ".csv": "csv", ".md": "md"}

_DESCRIPTION = """\
Receptive field, parameters and MACs of every layer of a PyTorch network, and whether it fits a budget.

TARGET is model.py, model.py:Name or package.module:name (torchvision.models:resnet50).
Loading runs the file, as importing it would: analyse only code that you trust."""

_EPILOG = """\
Without limits on the command line the budget is [tool.rfcalc] of the nearest pyproject.toml with that table,
in the folder of the target file or above it (for a module: in the current folder or above it).

exit code:  0 analysed, every limit holds   1 a limit is broken, or --verify disagrees   2 not analysed

examples:
  python -m rfcalc model.py
  python -m rfcalc torchvision.models:resnet50 --input 3x224x224 --arg weights=None
  python -m rfcalc model.py:Net --max-params 99999 --min-receptive-field 53 --format json --output rf.json
  python -m rfcalc model.py --explain c3.conv --lint"""


@dataclass(frozen=True)
class Options:
    """The command line, read and checked as far as that goes without the model."""

    target: str
    input_size: tuple[int, ...]
    arguments: list[str]
    train: bool
    count_all: bool
    format: str
    output: Path | None
    columns: tuple[str, ...] | None
    every_row: bool
    width: int | None
    verify: bool
    explain: str | None
    lint: bool
    erf: bool
    erf_map: Path | None
    limits: dict[str, Any]
    budget_file: Path | None
    no_budget: bool
    debug: bool


def parse(argv: Sequence[str] | None = None) -> Options:
    """Read `argv` (default: the process's).

    Raises:
        SystemExit: For --help and --version (code 0) and for wrong usage (code 2), as argparse does.
    """
    parser = _parser()
    given = vars(parser.parse_args(argv))
    try:
        return _options(given)
    except (UsageError, InputError, ValueError) as error:
        parser.exit(2, f"rfcalc: error: {error}\n")


def parse_size(text: str) -> tuple[int, ...]:
    """Read an input size such as 3x32x32 (channels first, without the batch).

    Raises:
        InputError: It is not whole numbers >= 1 joined by x.
    """
    parts = re.split(r"[x,\u00d7]", text.strip().lower())
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise InputError(
            f"--input {text}: write channels x height x width as whole numbers >= 1, such as 3x32x32 "
            "(1x16000 for one axis, 1x16x64x64 for three)"
        )
    return tuple(int(part) for part in parts)


def _options(given: dict[str, Any]) -> Options:
    limits = {field.name: given.pop(field.name) for field in dataclasses.fields(Budget)}
    limits = {name: value for name, value in limits.items() if value is not None}
    given["input_size"] = parse_size(given["input_size"])
    if given["format"] is None:
        output = given["output"]
        given["format"] = _SUFFIXES.get(output.suffix.lower(), "table") if output else "table"
    if given["columns"] is not None:
        given["columns"] = tuple(name.strip() for name in given["columns"].split(",") if name.strip())
    options = Options(**given, limits=limits)
    if options.no_budget and (limits or options.budget_file):
        raise UsageError("--no-budget goes with no limit")
    Budget(**limits)  # an impossible value is wrong usage, whatever the file says
    return options


class _Parser(argparse.ArgumentParser):
    """argparse, with errors of one line in the words of the other errors."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"rfcalc: error: {message} (python -m rfcalc --help shows the usage)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m rfcalc",
        usage="%(prog)s TARGET [--input 3x32x32] [--format table|json|csv|md] [--output FILE] [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=34),
        allow_abbrev=False,
    )
    parser.add_argument(
        "target", metavar="TARGET", help="the model: a Python file or a module, with a name in it"
    )
    parser.add_argument("--version", action="version", version=f"rfcalc {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")

    model = parser.add_argument_group("model")
    model.add_argument(
        "--input",
        dest="input_size",
        metavar="SIZE",
        default="3x32x32",
        help="without the batch (default: 3x32x32)",
    )
    model.add_argument(
        "--arg",
        dest="arguments",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="keyword argument of the model's class or function; may be repeated",
    )
    model.add_argument("--train", action="store_true", help="analyse in training mode (default: eval)")

    model.add_argument(
        "--count-all",
        action="store_true",
        help="count attention products, layers on constants, sampling and Fourier transforms, too",
    )

    report = parser.add_argument_group("report")
    report.add_argument(
        "--format", choices=FORMATS, help="default: table, or what the suffix of --output says"
    )
    report.add_argument(
        "--output", type=Path, metavar="FILE", help="write there instead of to stdout, whole or not at all"
    )
    report.add_argument("--columns", metavar="A,B,...", help=f"columns to show, of {', '.join(COLUMNS)}")
    report.add_argument(
        "--all", dest="every_row", action="store_true", help="a row for every op, activations too"
    )
    report.add_argument("--width", type=_width, metavar="N", help="columns of text (default: the terminal's)")

    questions = parser.add_argument_group("questions")
    questions.add_argument(
        "--explain", metavar="LAYER", help="why its receptive field is what it is, and what would change it"
    )
    questions.add_argument(
        "--lint",
        action="store_true",
        help="holes, ignored pixels, checkerboards, misaligned joins, idle layers",
    )
    questions.add_argument(
        "--erf", action="store_true", help="a column with the closed-form effective receptive field"
    )
    questions.add_argument(
        "--erf-map", type=Path, metavar="FILE.png", help="draw the measured one (needs matplotlib)"
    )
    questions.add_argument(
        "--verify", action="store_true", help="compare every row with the float64 gradient oracle"
    )

    limits = parser.add_argument_group("budget")
    limits.add_argument(
        "--budget", dest="budget_file", type=Path, metavar="FILE.toml", help="limits from a file"
    )
    limits.add_argument("--no-budget", action="store_true", help="judge nothing")
    for field in dataclasses.fields(Budget):
        flag, meaning = f"--{key_of(field.name)}", field.metadata["meaning"]
        if isinstance(field.default, bool):
            limits.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=meaning)
        else:
            limits.add_argument(flag, type=_count, metavar="N", help=meaning)
    return parser


def _count(text: str) -> int:
    try:
        return int(text.replace(",", "_"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _width(text: str) -> int:
    width = _count(text)
    if width < 40:
        raise argparse.ArgumentTypeError(f"at least 40, but got {width}")
    return width
