"""How a command of the application runs: what it may print where, and which exit code it leaves with."""

import io
import os
import sys
from collections.abc import Callable

from records.errors import UserError, tell

STOPPED = 130
"""Exit code after Ctrl-C, as shells use it."""


def run(
    who: str,
    action: Callable[[], int | None],
    *,
    known: tuple[type[Exception], ...] = (),
    debug: bool = False,
) -> int:
    """Do what a command does, and turn how it ends into an exit code.

    Args:
        who: The command, which begins its error: "train.py".
        action: Returns the exit code; None is 0.
        known: Errors of the user beside UserError and OSError, from packages with roots of their own.
        debug: Whether such an error is raised, for its traceback.

    Returns:
        0 done, 2 it cannot be done, 130 stopped; or what `action` returns.
    """
    caught: tuple[type[Exception], ...] = (UserError, OSError, *known)
    write_what_can_be_written()
    try:
        code = action() or 0
        sys.stdout.flush()  # while a failure can still be shown
    except KeyboardInterrupt:
        return STOPPED
    except caught as error:
        if debug:
            raise
        give_up_stdout()
        return tell(who, _text(error))
    return code


def write_what_can_be_written() -> None:
    """Let stdout write "?" where its encoding lacks a character: bars, lines of tables, names of classes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _text(error: Exception) -> str:
    """Return an error's text; that of the system without its number, and with the file that it is about."""
    if isinstance(error, BrokenPipeError) and not error.filename:
        return "the reader of the output has gone, as head does; send the output to a file to have all of it"
    if isinstance(error, OSError) and not isinstance(error, UserError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def give_up_stdout() -> None:
    """Drop what a full disk or a closed pipe does not take, which would fail again when Python exits."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.closed:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
