"""Command lines from dataclasses: a field is declared once, with its flag, its reader and its help.

    @dataclass(frozen=True)
    class Options:
        data: str | None = flag("cifar10, shapes, or a folder", metavar="D", group="data")
        epochs: int = flag("passes over the images", default=30, read=positive, metavar="N")
        full: bool = switch("train on train + validation")

    program = Program("train.py", {"": Command(Options, "Train one network.")}, prog="python train.py")
    options = program.parse(["--epochs", "3"]).options     # Options(data=None, epochs=3, full=False)

The annotation decides how a flag reads: a `switch` takes no value, `tuple[X, ...]` takes several, and every
other type is called with the text unless `read` is given. A reader raises argparse.ArgumentTypeError.
"""

import argparse
import dataclasses
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from records.errors import tell
from records.program import give_up_stdout
from records.readers import LARGEST_SEED as LARGEST_SEED
from records.readers import natural as natural
from records.readers import path, whole_number
from records.readers import plain_name as plain_name
from records.readers import positive as positive
from records.readers import ratio as ratio
from records.readers import seed as seed
from records.text import nearest

_KEY = "flag"


@dataclass(frozen=True)
class Flag:
    """How a field appears on the command line."""

    help: str
    word: str | None
    """The flag's own name where it is not the field's: "--from"."""
    positional: bool
    read: Callable[[str], Any] | None
    metavar: str | None
    choices: tuple[str, ...]
    group: str
    """Heading in the help; flags of the same group are listed together."""
    exclusive: str
    """Of the flags with the same key here, one may be given."""
    repeated: bool
    """Whether the flag may be given several times, each time with one value."""
    bare: Any = None
    """Value of the flag without a value; None: it must have one."""


def flag(
    help: str,
    *,
    default: Any = None,
    word: str | None = None,
    read: Callable[[str], Any] | None = None,
    metavar: str | None = None,
    choices: Sequence[str] = (),
    group: str = "",
    exclusive: str = "",
    repeated: bool = False,
    bare: Any = None,
) -> Any:
    """Declare a field that a flag fills.

    Args:
        help: One sentence without a full stop; a default that is not None is added to it.
        default: The field's value where the flag is not given.
        word: The flag; by default the field's name with dashes.
        read: Makes the value from its text; by default the field's type does.
        metavar: Placeholder of the value in the help.
        choices: The texts that are allowed.
        group: Heading in the help.
        exclusive: Key of a set of flags of which only one may be given.
        repeated: Whether the flag of a `tuple` field is given once for each value.
        bare: Value of the flag where it is given without one; None: it must have one.
    """
    about = Flag(help, word, False, read, metavar, tuple(choices), group, exclusive, repeated, bare)
    return field(default=default, metadata={_KEY: about})


def switch(help: str, *, word: str | None = None, group: str = "", exclusive: str = "") -> Any:
    """Declare a `bool` field that is False until its flag is given, or True until "--no-..." is."""
    about = Flag(help, word, False, None, None, (), group, exclusive, False)
    return field(default=(word or "").startswith("--no-"), metadata={_KEY: about})


def argument(
    help: str,
    *,
    default: Any = MISSING,
    read: Callable[[str], Any] | None = None,
    metavar: str | None = None,
) -> Any:
    """Declare a field that is filled by position; without a default it must be given."""
    about = Flag(help, None, True, read, metavar, (), "", "", False)
    return field(default=default, metadata={_KEY: about})


@dataclass(frozen=True)
class Command:
    """One command, or one sub-command, of a program."""

    options: type
    """A frozen dataclass whose fields are made by `flag`, `switch` and `argument`."""
    description: str
    epilog: str = ""
    check: Callable[["Parsed"], str | None] | None = None
    """Returns what is wrong with flags that cannot go together, None where nothing is."""


@dataclass(frozen=True)
class Parsed:
    """A command line that was read."""

    command: str
    """Name of the sub-command; "" for the program itself."""
    options: Any
    """An instance of the command's dataclass."""
    given: frozenset[str]
    """Names of the fields that the command line sets."""
    words: tuple[str, ...]
    """The arguments as they were typed."""


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line with exit code 2, without the usage, which would bury it.

    Args:
        who: The command, which begins the line.
        way_out: Where help is; it ends the line.
        settings: Of argparse.ArgumentParser.
    """

    def __init__(self, *, who: str, way_out: str, **settings: Any) -> None:
        # A shortened flag may mean another one in the next release.
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)
        self._who, self._way_out = who, way_out

    def error(self, message: str) -> NoReturn:
        """Write the message to stderr and leave."""
        self.exit(tell(self._who, f"{message}{self._way_out}"))

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Leave; with code 2 where the help cannot be written, which Python itself would meet at its end."""
        try:
            sys.stdout.flush()
        except OSError as error:
            give_up_stdout()
            status = tell(self._who, f"standard output cannot be written ({error.strerror or error})")
        super().exit(status, message)


class Program:
    """The command line of one program with its sub-commands.

    Args:
        who: Begins every error: "train.py".
        commands: By name; "" is what runs where the first word names no other.
        prog: How the program is started: "python train.py".
        way_out: Ends every error of the command line; by default it names `--help`.
    """

    def __init__(
        self, who: str, commands: Mapping[str, Command], *, prog: str, way_out: str | None = None
    ) -> None:
        self._who, self._commands, self._prog = who, dict(commands), prog
        self._way_out = f"; see {prog} --help" if way_out is None else way_out

    def parse(self, words: Sequence[str]) -> Parsed:
        """Read a command line.

        Raises:
            SystemExit: For `--help` (code 0) and for a mistake (code 2, one line on stderr).
        """
        root = self._parser(prog=self._prog, add_help=False)
        make: Any = self._parser  # argparse calls it as it would a class
        parsers = root.add_subparsers(parser_class=make)
        own = {name: self._add(parsers, name, command) for name, command in self._commands.items()}
        name = words[0] if words and words[0] in self._commands else ""
        rest = list(words[1:] if name else words)
        parser, command = own[name], self._commands[name]
        self._refuse_unknown_flags(parser, command, rest)
        namespace, extra = root.parse_known_args([name, *rest])
        if extra:
            near = nearest(rest[0], [each for each in self._commands if each]) if not name else None
            parser.error(f"unrecognized arguments: {' '.join(extra)}{_hint(near)}")
        found = {
            key: tuple(value) if isinstance(value, list) else value for key, value in vars(namespace).items()
        }
        parsed = Parsed(name, command.options(**found), frozenset(found), tuple(words))
        if command.check is not None and (wrong := command.check(parsed)) is not None:
            parser.error(wrong)
        return parsed

    def _parser(self, **settings: Any) -> OneLineParser:
        return OneLineParser(who=self._who, way_out=self._way_out, **settings)

    def _add(self, parsers: Any, name: str, command: Command) -> OneLineParser:
        others = "" if name else self._listed()
        prog = f"{self._prog} {name}".rstrip()
        parser: OneLineParser = parsers.add_parser(
            name,
            prog=prog,
            usage=" ".join([prog, *_positions(command.options), "[flags]"]),
            description=command.description,
            epilog="\n\n".join(part for part in (others, command.epilog) if part),
        )
        groups: dict[str, Any] = {"": parser}
        exclusive: dict[str, Any] = {}
        hints = typing.get_type_hints(command.options)
        for each in dataclasses.fields(command.options):
            about: Flag = each.metadata[_KEY]
            if about.group not in groups:
                groups[about.group] = parser.add_argument_group(about.group)
            place = groups[about.group]
            if about.exclusive:
                if about.exclusive not in exclusive:
                    exclusive[about.exclusive] = place.add_mutually_exclusive_group()
                place = exclusive[about.exclusive]
            words, settings = _argparse(each, about, hints[each.name])
            place.add_argument(*words, **settings)
        return parser

    def _listed(self) -> str:
        others = {name: command for name, command in self._commands.items() if name}
        width = max((len(name) for name in others), default=0)
        lines = [f"  {self._prog} {name:{width}}  {each.description}" for name, each in others.items()]
        return "\n".join(["commands, each with its own --help:", *lines]) if lines else ""

    def _refuse_unknown_flags(self, parser: OneLineParser, command: Command, words: Sequence[str]) -> None:
        """Name a misspelt flag before argparse misses what follows from it, such as a required value.

        A word that begins with "--" is never the value of a flag: argparse takes such values with "=" alone.
        """
        known = [*_flags(command.options), "--help"]
        for word in words:
            if word == "--":
                return
            name = word.partition("=")[0]
            if word.startswith("--") and name not in known:
                parser.error(f"unrecognized arguments: {name}{_hint(nearest(name, known))}")


def word_of(options: type, name: str) -> str:
    """Return the flag that fills the field `name`."""
    each = next(each for each in dataclasses.fields(options) if each.name == name)
    about: Flag = each.metadata[_KEY]
    return about.word or "--" + name.replace("_", "-")


def _positions(options: type) -> list[str]:
    """Return how the usage shows what is given by position: "FOLDER", "[NAME]", "SIDE ..."."""
    shown = []
    for each in dataclasses.fields(options):
        about: Flag = each.metadata[_KEY]
        if about.positional:
            word = about.metavar or each.name.upper()
            word += " ..." if _kind(typing.get_type_hints(options)[each.name])[1] else ""
            shown.append(word if each.default is MISSING else f"[{word}]")
    return shown


def _flags(options: type) -> list[str]:
    return [
        word_of(options, each.name)
        for each in dataclasses.fields(options)
        if not each.metadata[_KEY].positional
    ]


def _argparse(each: "dataclasses.Field[Any]", about: Flag, hint: Any) -> tuple[list[str], dict[str, Any]]:
    """Return the arguments of `add_argument` for a field."""
    kind, several = _kind(hint)
    text = about.help.replace("%", "%%")
    if each.default not in (None, MISSING, ()) and not isinstance(each.default, bool):
        text += f" (default {each.default})".replace("%", "%%")
    # SUPPRESS keeps what was not given out of the namespace, so that "given" is known and the dataclass alone
    # holds the defaults.
    settings: dict[str, Any] = {"help": text, "default": argparse.SUPPRESS}
    if not about.positional:
        settings["dest"] = each.name
    word = about.word or "--" + each.name.replace("_", "-")
    if kind is bool:
        settings |= {"action": "store_const", "const": not word.startswith("--no-")}
        return [word], settings
    settings["type"] = about.read or _READERS.get(kind, kind)
    settings["metavar"] = about.metavar
    if about.choices:
        settings["choices"] = about.choices
    if about.repeated:
        settings["action"] = "append"
    elif several:
        settings["nargs"] = "+"
    elif about.bare is not None:
        settings |= {"nargs": "?", "const": about.bare}
    elif about.positional and each.default is not MISSING:
        settings["nargs"] = "?"
    return [each.name if about.positional else word], settings


def _kind(hint: Any) -> tuple[Any, bool]:
    """Return the type of one value, without None, and whether the field holds several."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(option for option in typing.get_args(hint) if option is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True
    return hint, False


def _hint(near: str | None) -> str:
    return f"; did you mean {near}?" if near else ""


_READERS: dict[Any, Callable[[str], Any]] = {int: whole_number, Path: path}
