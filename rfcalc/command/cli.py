"""The command line: arguments -> load -> analyze -> judge -> render.

Exit code 0: analysed, every limit holds; 1: a limit is broken, or `--verify` found a disagreement; 2: could
not analyse, or wrong usage. Only the report goes to stdout; errors, and what the loaded file prints, go to
stderr.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from rfcalc.analysis.budget import Budget, find_budget, read_budget
from rfcalc.command.arguments import parse
from rfcalc.command.blame import recovered, sentence
from rfcalc.command.memory import limited
from rfcalc.command.options import Options
from rfcalc.command.output import Streams, complain, write, write_bytes_whole, write_whole
from rfcalc.command.target import Target
from rfcalc.errors import one_line


def run() -> NoReturn:
    """Run the command for the process and end it with its exit code.

    Threads that the model's code has left running do not keep the process, and what its exit handlers print
    goes to stderr, behind the report.
    """
    code = main()
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    with suppress(OSError):
        os.dup2(2, 1)
    left = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    if left:
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (default: the process's) and return its exit code."""
    options = parse(argv)
    streams = Streams()
    try:
        return _run(options, streams)
    except BrokenPipeError:
        return 0  # the reader (head, less) has had enough
    except BaseException as error:
        recursion = recovered()
        streams.restore()
        if options.debug and not isinstance(error, KeyboardInterrupt):
            with suppress(Exception):  # an exception of the user's may not even be printable
                traceback.print_exception(error)
        complain(f"rfcalc: error: {one_line(sentence(error, options, recursion))}\n")
        return 2
    finally:
        streams.close()


def _run(options: Options, streams: Streams) -> int:
    from rfcalc.render.columns import chosen

    columns = chosen(options.columns) if options.columns else None
    target = Target.parse(options.target)
    budget, source = _budget(options, target)

    # From here on torch is imported, which takes longer than everything else.
    from rfcalc.command.inspection import inspect
    from rfcalc.render.formats import render

    with streams.kept(), limited(options.max_memory):
        report, picture = inspect(target, options, budget, source)
    recovered()
    colour = options.output is None and options.format == "table" and _wants_colour()
    text = render(
        report, options.format, columns, every_row=options.every_row, width=options.width, colour=colour
    )
    if picture is not None and options.erf_map is not None:
        write_bytes_whole(options.erf_map, picture)
    if options.output:
        write_whole(options.output, text)
    else:
        write(text)
    return 0 if report.ok else 1


def _budget(options: Options, target: Target) -> tuple[Budget | None, str]:
    """The limits and where they come from: the command line before a file, a file before pyproject.toml."""
    if options.no_budget:
        return None, ""
    if options.budget_file:
        named = read_budget(options.budget_file)
        budget = Budget(**{**named.limits(), **options.limits})
        return budget, str(options.budget_file) + (" and command line" if options.limits else "")
    if options.limits:
        return Budget(**options.limits), "command line"
    found = find_budget(target.folder)
    return (found[0], str(found[1])) if found else (None, "")


def _wants_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
