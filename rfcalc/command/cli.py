"""The command line: arguments -> load -> analyze -> judge -> render.

Exit code 0: analysed, every limit holds; 1: a limit is broken, or `--verify` found a disagreement; 2: could
not analyse, or wrong usage. Only the report goes to stdout; errors, and what the loaded file prints, go to
stderr.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rfcalc.command.arguments import failure_of, parse
from rfcalc.command.blame import recovered, sentence
from rfcalc.command.checks import Check, checks_of
from rfcalc.command.memory import limited
from rfcalc.command.options import MACHINES, Options
from rfcalc.command.writing import Streams, complain, write, write_bytes_whole, write_whole
from rfcalc.errors import RfcalcError, UsageError, one_line

if TYPE_CHECKING:
    from rfcalc.command.base import OpenBase
    from rfcalc.render.report import Outcome


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
    try:
        options = parse(argv)
    except SystemExit as error:
        if error.code == 2:
            _publish_failure(failure_of(sys.argv[1:] if argv is None else argv))
        raise
    streams = Streams()
    try:
        return _run(options, streams)
    except BrokenPipeError:
        return 0  # the reader (head, less) has had enough
    except BaseException as error:
        text = _told(error, options, streams)
        _publish_failure((options.format, options.output, text))
        return 2
    finally:
        streams.close()


def _told(error: BaseException, options: Options, streams: Streams) -> str:
    """Print an error as one line to stderr, and return the line."""
    recursion = recovered()
    streams.restore()
    if options.debug and not isinstance(error, KeyboardInterrupt):
        with suppress(Exception):  # an exception of the user's may not even be printable
            traceback.print_exception(error)
    text = one_line(sentence(error, options, recursion))
    complain(f"rfcalc: error: {text}\n")
    return text


def _publish_failure(failure: tuple[str, Path | None, str]) -> None:
    """Write a whole file that says what went wrong, where a program waits for one."""
    form, output, text = failure
    if form not in MACHINES:
        return
    from rfcalc.render.machines import machine_text
    from rfcalc.render.report import Outcome

    outcomes = [Outcome("rfcalc", "", None, one_line(text))]
    with suppress(RfcalcError, BrokenPipeError):
        _publish(machine_text(outcomes, form), output)
        if form == "github":
            _step_summary(outcomes)


def _publish(text: str, output: Path | None) -> None:
    if output:
        write_whole(output, text)
    else:
        write(text)


def _run(options: Options, streams: Streams) -> int:
    from rfcalc.render.columns import chosen

    if options.init:
        from rfcalc.command.init import init

        return init(options, streams)
    if _is_diff(options):
        from rfcalc.command.differ import differ

        return differ(dataclasses.replace(options, targets=options.targets[1:]), streams)
    columns = chosen(options.columns) if options.columns else None
    checks = checks_of(options)
    if len(checks) > 1:
        _refuse_for_several(options)
    else:
        checks[0].target()

    # From here on torch is imported, which takes longer than everything else.
    from rfcalc.render.formats import render_all

    outcomes, picture = _outcomes(checks, options, streams)
    colour = options.output is None and options.format == "table" and _wants_colour()
    text = render_all(
        outcomes,
        options.format,
        columns,
        every_row=options.every_row,
        depth=options.depth,
        width=options.width,
        colour=colour,
        quiet=options.quiet,
    )
    if picture is not None and options.erf_map is not None:
        write_bytes_whole(options.erf_map, picture)
    _publish(text, options.output)
    if options.format == "github":
        _step_summary(outcomes)
    return max(outcome.code for outcome in outcomes)


def _is_diff(options: Options) -> bool:
    return options.targets[:1] == ("diff",) and len(options.targets) > 1


def _refuse_for_several(options: Options) -> None:
    asked = {"--explain": options.explain is not None, "--erf-map": options.erf_map is not None}
    for flag, given in asked.items():
        if given:
            raise UsageError(f"{flag} takes one network")


def _outcomes(
    checks: Sequence[Check], options: Options, streams: Streams
) -> tuple[list[Outcome], bytes | None]:
    """Analyse one network after the other; of several, one that fails leaves the others."""
    from rfcalc.command.base import opened
    from rfcalc.command.inspection import figures_at, inspect
    from rfcalc.render.report import Outcome

    outcomes, picture = [], None
    with ExitStack() as stack:
        bases: dict[str, OpenBase] = {}
        for check in checks:
            if check.against and check.against not in bases:
                folder = check.root or check.target().folder
                base = opened(check.against, folder, lambda one, at: figures_at(one, at, options))
                bases[check.against] = stack.enter_context(base)
        for check in checks:
            try:
                with streams.kept(), limited(options.max_memory):
                    report, picture = inspect(
                        check.target(), options, check, bases[check.against] if check.against else None
                    )
                recovered()
                outcomes.append(Outcome(check.name, check.text, report))
            except (BrokenPipeError, KeyboardInterrupt):
                raise
            except BaseException as error:
                if len(checks) == 1:
                    raise
                own = dataclasses.replace(options, targets=(check.name,))
                outcomes.append(Outcome(check.name, check.text, None, _told(error, own, streams)))
    return outcomes, picture


def _step_summary(outcomes: Sequence[Outcome]) -> None:
    """Add the verdict to the summary of a step of GitHub Actions, where there is one."""
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if not place:
        return
    from rfcalc.render.summary import summary_markdown

    try:
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(summary_markdown(outcomes))
    except OSError as error:
        raise UsageError(f"cannot write the summary of the step: {error.strerror or error}") from error


def _wants_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
