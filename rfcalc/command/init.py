"""`--init`: a `[[tool.rfcalc.network]]` table whose limits are the figures that the networks have today."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

from rfcalc.analysis.growth import Growth, figures_of
from rfcalc.analysis.settings import find_settings
from rfcalc.command.checks import Check
from rfcalc.command.memory import limited
from rfcalc.command.options import Options, parse_arguments
from rfcalc.command.target import Target
from rfcalc.command.writing import Streams, write, write_whole
from rfcalc.errors import UsageError

__all__ = ["init"]


def init(options: Options, streams: Streams) -> int:
    """Analyse each target and add a table for it to the nearest pyproject.toml, or to a new one here.

    Raises:
        UsageError: No target is named, one is listed already, or the file has a form that cannot be added to.
    """
    if not options.targets:
        raise UsageError("--init takes the networks to list: python -m rfcalc model.py --init")
    targets = [Target.parse(text) for text in options.targets]
    settings = find_settings(targets[0].folder)
    path = settings.path if settings else _nearest(targets[0].folder) or Path("pyproject.toml")
    root = path.resolve().parent
    texts = {target.text: _relative(target, root) for target in targets}
    listed = {network.target for network in settings.networks} if settings else set()
    for text in texts.values():
        if text in listed:
            raise UsageError(f"{path} lists {text} already; edit its table, or delete it first")
    tables = [_table(target, texts[target.text], options, streams) for target in targets]
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    text = before + gap + "\n".join(tables)
    _check(text, path)
    write_whole(path, text)
    count = "a table" if len(tables) == 1 else f"{len(tables)} tables"
    write(f"{path}: {count} added\n")
    if not options.quiet:
        write("next  python -m rfcalc                 # check all that are listed\n")
        write("      python -m rfcalc --against main  # and what they have grown by\n")
    return 0


def _nearest(folder: Path) -> Path | None:
    start = folder.resolve()
    found = [parent / "pyproject.toml" for parent in (start, *start.parents)]
    return next((path for path in found if path.is_file()), None)


def _relative(target: Target, root: Path) -> str:
    if target.path is None:
        return target.text
    place = Path(os.path.relpath(target.path, root)).as_posix()
    return f"{place}:{target.name}" if target.name else place


def _table(target: Target, text: str, options: Options, streams: Streams) -> str:
    from rfcalc.command.inspection import analysed

    check = Check(
        text, text, None, options.inputs, parse_arguments(options.arguments), None, Growth(), "", ""
    )
    with streams.kept(), limited(options.max_memory):
        analysis = analysed(check, target, options)
    figures = figures_of(analysis)
    lines = ["[[tool.rfcalc.network]]", f"target = {_quoted(text)}"]
    inputs = [_quoted(str(one)) for one in analysis.graph.given]
    lines.append(f"input = {inputs[0] if len(inputs) == 1 else '[' + ', '.join(inputs) + ']'}")
    if options.arguments:
        pairs = [f"{name} = {_toml(value)}" for name, value in check.arguments.items()]
        lines.append(f"arg = {{ {', '.join(pairs)} }}")
    if figures.receptive_field:
        lines.append(f"min-receptive-field = {figures.receptive_field}")
    lines.append(f"max-params = {figures.params:_}")
    lines.append(f"max-macs = {figures.macs:_}")
    lines.append(f"max-peak-activation-bytes = {figures.peak_activation_bytes:_}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a basic string of TOML


def _check(text: str, path: Path) -> None:
    """Refuse a text that is no TOML any more: networks may be listed in the file in another form."""
    try:
        tomllib.loads(text)
    except ValueError as error:
        raise UsageError(
            f"{path} cannot be added to ({error}); write [[tool.rfcalc.network]] into it by hand"
        ) from error
