"""One sentence for whatever ends a run: what, where, whose fault and the way out."""

from __future__ import annotations

import site
import sys
import sysconfig
import traceback
from pathlib import Path

from rfcalc._version import __version__
from rfcalc.command.memory import is_exhausted
from rfcalc.command.options import Options
from rfcalc.errors import RfcalcError, wording

__all__ = ["at_line", "printed", "recovered", "sentence", "short_name"]

_OURS = str(Path(__file__).resolve().parents[1])
NORMAL_RECURSION = 1000
"""Python's own limit; rfcalc needs some hundreds."""


def sentence(error: BaseException, options: Options, recursion: int) -> str:
    """Return what to say of an error that ended the run.

    Args:
        error: The error.
        options: The command line.
        recursion: The limit of recursion when it happened.
    """
    code = f"the code of {options.target}"
    if is_exhausted(error):
        if options.max_memory is not None:
            return (
                f"{code} needs more memory than --max-memory leaves ({options.max_memory:,} bytes); raise it"
            )
        return "not enough memory; on the unbounded plane a smaller --input has the same fields"
    if recursion < NORMAL_RECURSION and _is_recursion(error):
        return f"{code} sets the recursion limit to {recursion}, too low for Python's own modules; leave it"
    if isinstance(error, RfcalcError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, SystemExit):
        # The command line has been read: only the model's own code can have asked for this.
        return f"{code} exits while it runs: sys.exit({printed(error.code)})"
    if not isinstance(error, Exception):
        # Some frameworks give up with exceptions that are no Exception; rfcalc itself raises none.
        return f"{code} gives up: {wording(error)}"
    where = _of_the_users(error)
    if where:
        return f"{code} raises while rfcalc reads its objects, at {where}: {wording(error)}"
    return f"this is a bug of rfcalc {__version__}: {wording(error)} (--debug shows where)"


def at_line(error: BaseException, folder: Path) -> str:
    """Return " at model.py:12" for the innermost frame below a folder that is the user's; "" for none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.is_relative_to(folder) and not _is_library(frame.filename):
            return f" at {short_name(frame.filename)}:{frame.lineno}"
    return ""


def short_name(file: str | None) -> str:
    """Return a file as messages name it: relative to the current folder, or its bare name."""
    if not file:
        return ""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


def _of_the_users(error: BaseException) -> str:
    """Return where the user's code raised; "" where the innermost frame but for libraries is rfcalc's."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(_OURS):
            return ""
        if not _is_library(frame.filename):
            return f"{short_name(frame.filename)}:{frame.lineno}"
    return ""


def _is_library(file: str) -> bool:
    places = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), *site.getsitepackages(), _OURS]
    return file.startswith(("<frozen", *(place for place in places if place))) or not {
        "site-packages",
        "dist-packages",
    }.isdisjoint(Path(file).parts)


def _is_recursion(error: BaseException | None) -> bool:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, RecursionError) or "recursion depth" in wording(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def printed(value: object) -> str:
    """Return the repr of a value of the user's, its type where that fails."""
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__}>"


def recovered() -> int:
    """Raise a limit of recursion that the model's code has lowered, and return the one that it set."""
    limit = sys.getrecursionlimit()
    if limit < NORMAL_RECURSION:
        sys.setrecursionlimit(NORMAL_RECURSION)
    return limit
