"""`diff A B`: load two networks at the same input and show what differs."""

from __future__ import annotations

from rfcalc.analysis.growth import Growth
from rfcalc.command.checks import Check
from rfcalc.command.memory import limited
from rfcalc.command.options import Options, parse_arguments
from rfcalc.command.target import Target
from rfcalc.command.writing import Streams, write, write_whole
from rfcalc.errors import RfcalcError, UsageError

__all__ = ["differ"]

FORMATS = ("table", "json", "csv", "md")


def differ(options: Options, streams: Streams) -> int:
    """Compare two networks; the exit code is 0 where nothing differs, 1 where something does.

    Raises:
        UsageError: There are not two targets, or one of them does not load or run; the message says which.
    """
    if len(options.targets) != 2:
        raise UsageError("diff takes two networks: python -m rfcalc diff old.py new.py")
    if options.format not in FORMATS:
        raise UsageError(f"diff writes {', '.join(FORMATS)}, not {options.format}")
    targets = [Target.parse(text) for text in options.targets]
    from rfcalc.command.inspection import analysed
    from rfcalc.questions.differences import differences
    from rfcalc.render.differences import render_differences

    found = []
    for target in targets:
        check = Check(
            target.text,
            target.text,
            None,
            options.inputs,
            parse_arguments(options.arguments),
            None,
            Growth(),
            "",
            "",
        )
        try:
            with streams.kept(), limited(options.max_memory):
                found.append(analysed(check, target, options))
        except RfcalcError as error:
            side = "first" if not found else "second"
            raise UsageError(f"the {side} network, {target.text}: {error}") from error
    before, after = found
    lines = differences(before, after)
    text = render_differences(options.targets, before, after, lines, options.format, options.width)
    if options.output:
        write_whole(options.output, text)
    else:
        write(text)
    return int(any(line.state != "same" for line in lines))
