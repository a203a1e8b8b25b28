"""The parser of the command line, made of the fields of `Options` and `Budget`; torch is not imported."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from rfcalc._version import __version__
from rfcalc.analysis.budget import DTYPES, SETTINGS, Budget, key_of
from rfcalc.analysis.growth import Allowed, Growth
from rfcalc.command.options import GROUPS, Flag, Options, names, through_argparse, whole_number
from rfcalc.command.writing import complain, write
from rfcalc.errors import InputError, RfcalcError, UsageError, one_line
from rfcalc.text import nearest
from rfcalc.trace.inputs import parse_input

__all__ = ["Options", "parse", "parse_size"]

_SUFFIXES = {".json": "json", ".csv": "csv", ".md": "md"}

_DESCRIPTION = """\
Receptive field, parameters and MACs of every layer of a PyTorch network, and whether it fits a budget.

TARGET is model.py, notebook.ipynb, model.py:Name, package.module:name (torchvision.models:resnet50), an ONNX
file, a run folder, a spec.json or the name of a network (resnet20); with its input: resnet20@3x64x64.
Loading runs the file, as importing it would: analyse only code that you trust. Of ONNX and JSON files nothing
is run; for a name, a JSON file or a run folder, the module `names` of pyproject.toml is imported."""

_EPILOG = """\
The budget is [tool.rfcalc] of the nearest pyproject.toml with that table, in the folder of the target file or
above it (for a module: in the current folder or above it). A limit on the command line takes the place of the
file's limit of the same name and leaves the others.

exit code:  0 analysed, every limit holds   1 a limit is broken, or --verify disagrees   2 not analysed

examples:
  python -m rfcalc model.py
  python -m rfcalc torchvision.models:resnet50 --input 3x224x224 --arg weights=None
  python -m rfcalc model.py:Net --max-params 99999 --min-receptive-field 53 --format json --output rf.json
  python -m rfcalc fusion.py --input image=3x64x64 --input depth=1x64x64
  python -m rfcalc model.py --explain c3.conv --lint
  python -m rfcalc model.py --init                    then: python -m rfcalc --against main
  python -m rfcalc diff old.py new.py"""


def parse(argv: Sequence[str] | None = None) -> Options:
    """Read `argv` (default: the process's).

    Raises:
        SystemExit: For --help and --version (code 0) and for wrong usage (code 2), as argparse does.
    """
    parser = _parser()
    try:
        return _options(vars(parser.parse_args(argv)))
    except (RfcalcError, ValueError) as error:
        parser.exit(2, f"rfcalc: error: {one_line(str(error))}\n")


def failure_of(argv: Sequence[str]) -> tuple[str, Path | None, str]:
    """Return the format and the file that a wrong command line asks for, and what is wrong with it.

    Such a line has no options; what a program reads is written nevertheless.
    """
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--") else [word])]
    given = dict(pairwise(words))
    output = Path(given["--output"]) if given.get("--output") else None
    return given.get("--format", ""), output, _Parser.failure


def parse_size(text: str) -> tuple[int, ...]:
    """Read the size of one image such as 3x32x32 (channels first, without the batch).

    Raises:
        InputError: It is not whole numbers >= 1 joined by x.
    """
    one = parse_input(text)
    if one.name or one.kind or not one.shape:
        raise InputError(f"--input {text}: write channels x height x width, such as 3x32x32")
    return one.shape


def _options(given: dict[str, Any]) -> Options:
    limits = {field.name: given.pop(field.name) for field in dataclasses.fields(Budget)}
    limits = {name: value for name, value in limits.items() if value is not None}
    growth = {field.name: given.pop(field.name) for field in dataclasses.fields(Growth)}
    growth = {name: value for name, value in growth.items() if value is not None}
    given["targets"] = tuple(given["targets"])
    for field in dataclasses.fields(Options):
        if "flag" in field.metadata and field.metadata["flag"].repeated:
            given[field.name] = tuple(given[field.name] or getattr(Options, field.name))
    if not given["format"]:
        output = given["output"]
        given["format"] = _SUFFIXES.get(output.suffix.lower(), "table") if output else "table"
    options = Options(**given, limits=limits, growth=growth)
    if options.no_budget and (limits or growth or options.budget_file):
        raise UsageError("--no-budget goes with no limit")
    Budget(**limits)  # an impossible value is wrong usage, whatever the file says
    return options


class _Parser(argparse.ArgumentParser):
    """argparse, with errors of one line in the words of the other errors, on whatever stderr there is."""

    failure = ""
    """What the last wrong command line was refused for."""

    def error(self, message: str) -> NoReturn:
        wrong = message.partition("unrecognized arguments: ")[2].partition(" ")[0]
        hint = nearest(wrong.partition("=")[0], _words()) if wrong.startswith("--") else ""
        hint = f"; {hint}" if hint.startswith("did you mean") else ""
        text = f"{one_line(message)}{hint} (python -m rfcalc --help shows the usage)"
        self.exit(2, f"rfcalc: error: {text}\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            _Parser.failure = message.removeprefix("rfcalc: error: ").strip()
            complain(message)
        raise SystemExit(status)


def _words() -> list[str]:
    """Return all flags."""
    flags = [(each.name, each.metadata["flag"].word) for each in dataclasses.fields(Options) if each.metadata]
    limits = [each.name for each in (*dataclasses.fields(Budget), *dataclasses.fields(Growth))]
    words = [word or f"--{key_of(name)}" for name, word in flags]
    return [*words, *(f"--{key_of(name)}" for name in limits)]


class _Shown(argparse.Action):
    """--help and --version: a text on stdout, whatever characters that has, and the end."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        try:
            write(parser.format_help() if self.dest == "help" else f"rfcalc {__version__}\n")
        except RfcalcError as error:
            parser.exit(2, f"rfcalc: error: {error}\n")
        parser.exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m rfcalc",
        usage="%(prog)s [TARGET ...] [--input 3x32x32] [--format table|json|...] [--output FILE] [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=34),
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument(
        "targets",
        metavar="TARGET",
        nargs="*",
        help="the network, or several; none: those that "
        "[[tool.rfcalc.network]] lists; diff A B: what differs between two",
    )
    for word, text in (("help", "show this and exit"), ("version", "show the version and exit")):
        words = [f"--{word}", "-h"] if word == "help" else [f"--{word}"]
        parser.add_argument(*words, action=_Shown, nargs=0, default=argparse.SUPPRESS, help=text)
    groups = {"": parser, **{name: parser.add_argument_group(name) for name in GROUPS[1:]}}
    for option in dataclasses.fields(Options):
        if "flag" in option.metadata:
            about: Flag = option.metadata["flag"]
            _add(groups[about.group], option.name, option.default, about)
    for limit in dataclasses.fields(Budget):
        word, meaning = f"--{key_of(limit.name)}", limit.metadata["meaning"]
        if isinstance(limit.default, bool):
            groups["budget"].add_argument(
                word, action=argparse.BooleanOptionalAction, default=None, help=meaning
            )
        elif limit.name in SETTINGS:
            groups["budget"].add_argument(word, choices=DTYPES, help=meaning)
        elif isinstance(limit.default, tuple):
            groups["budget"].add_argument(word, type=names, metavar="A,B,...", help=meaning)
        else:
            groups["budget"].add_argument(word, type=whole_number, metavar="N", help=meaning)
    for limit in dataclasses.fields(Growth):
        word = f"--{key_of(limit.name)}"
        read = through_argparse(partial(Allowed.parse, key=word))
        groups["gate"].add_argument(word, type=read, metavar="N|N%%", help=limit.metadata["meaning"])
    return parser


def _add(group: Any, name: str, default: Any, about: Flag) -> None:
    word = about.word or f"--{name.replace('_', '-')}"
    if not about.metavar:
        group.add_argument(word, dest=name, action="store_true", help=about.help)
        return
    settings: dict[str, Any] = {"choices": about.choices} if about.choices else {"metavar": about.metavar}
    if about.repeated:
        settings |= {"action": "append"}
    else:
        settings |= {"default": default}
    group.add_argument(word, dest=name, type=through_argparse(about.read), help=about.help, **settings)
