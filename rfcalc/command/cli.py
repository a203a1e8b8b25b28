"""The command line: arguments -> load -> analyze -> judge -> render.

Exit code 0: analysed, every limit holds; 1: a limit is broken, or `--verify` found a disagreement; 2: could
not analyse, or wrong usage. Only the report goes to stdout; errors, and what the loaded file prints, go to
stderr.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from rfcalc._version import __version__
from rfcalc.analysis.budget import Budget, find_budget, read_budget
from rfcalc.command.arguments import Options, parse
from rfcalc.command.output import own_stdout, write, write_bytes_whole, write_whole
from rfcalc.command.target import Target
from rfcalc.errors import RfcalcError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (default: the process's) and return its exit code."""
    options = parse(argv)
    try:
        return _run(options)
    except RfcalcError as error:
        return _fail(str(error), error, options)
    except BrokenPipeError:
        # The reader (head, less) has had enough. Python would complain once more on flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted", None, options)
    except SystemExit as error:
        # parse() is behind us, so that only the model's own code can have asked for this.
        return _fail(
            f"the code of {options.target} exits while it runs: sys.exit({error.code!r})", error, options
        )
    except Exception as error:
        # PyTorch has no exception of its own for memory of the CPU.
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            told = "not enough memory; on the unbounded plane a smaller --input has the same fields"
            return _fail(told, error, options)
        said = f"{type(error).__name__}: {error}"
        return _fail(f"this is a bug of rfcalc {__version__}: {said} (--debug shows where)", error, options)
    except BaseException as error:
        # Some frameworks give up with exceptions that are no Exception; rfcalc itself raises none.
        said = f"{type(error).__name__}: {error}"
        return _fail(f"the code of {options.target} gives up: {said}", error, options)


def _fail(message: str, error: BaseException | None, options: Options) -> int:
    if options.debug and error is not None:
        traceback.print_exception(error)
    sys.stderr.write(f"rfcalc: error: {' '.join(message.split())}\n")
    return 2


def _run(options: Options) -> int:
    from rfcalc.render.columns import chosen

    columns = chosen(options.columns) if options.columns else None
    target = Target.parse(options.target)
    budget, source = _budget(options, target)

    # From here on torch is imported, which takes longer than everything else.
    from rfcalc.command.inspection import inspect
    from rfcalc.render.formats import render

    with own_stdout():
        report, picture = inspect(target, options, budget, source)
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
