"""Report -> the table for a terminal: rows, facts, verdict, in as many characters as there are."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence

from rich import box
from rich.console import Console, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from rfcalc.analysis.budget import Limit
from rfcalc.analysis.view import Line
from rfcalc.render.columns import Column, default_columns
from rfcalc.render.limits import limit_texts
from rfcalc.render.report import CONVENTION, Report, facts, verdict_sentence
from rfcalc.render.sections import Section, compared, sections

_GAP = 2  # characters between two columns: one of padding, one where a box would have its line
_NAME_AT_LEAST = 16
_WHERE_AT_LEAST = 7

Filled = tuple[Column, list[str]]
"""A column and its cells."""


def to_table(
    report: Report,
    lines: Sequence[Line],
    columns: Sequence[Column] | None = None,
    *,
    width: int | None = None,
    colour: bool = False,
    quiet: bool = False,
) -> str:
    """Draw the table, the facts and the verdict.

    Args:
        report: The facts.
        lines: The rows to show.
        columns: The columns that were asked for, all of them; None: those that fit.
        width: Characters in a line; None: what the terminal has, 80 where there is none.
        colour: Whether to write colour codes.
        quiet: Leave out all but the broken limits and the verdict.

    Returns:
        The text, with its last newline.
    """
    width = width or shutil.get_terminal_size().columns
    left_out: list[str] = []
    if columns:
        shown = [(column, _cells(column, lines)) for column in columns]
    else:
        shown, left_out = fit(lines, default_columns(erf=report.sigmas is not None), width)
    parts = _short(report, width) if quiet else _parts(report, shown, left_out, width)
    return _drawn(parts, width, colour)


def sections_text(title: str, shown: Sequence[Section], last: str, *, width: int | None = None) -> str:
    """Draw sections under a title, and a last sentence.

    Args:
        title: "" for none.
        shown: The sections.
        last: The sentence.
        width: Characters in a line; None: what the terminal has.
    """
    parts: list[RenderableType] = [Text(title, "bold"), ""] if title else []
    for section in shown:
        parts += _section(section)
    return _drawn([*parts, last], width or shutil.get_terminal_size().columns, colour=False)


def _drawn(parts: Sequence[RenderableType], width: int, colour: bool) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def fit(lines: Sequence[Line], columns: Sequence[Column], width: int) -> tuple[list[Filled], list[str]]:
    """Choose those of the columns that fit; where room is short, the lowest ranks come first.

    A column without any cell is never shown. The layer's path gives way before a column goes: it is folded.

    Returns:
        The columns to show with their cells, in their order, and the names of those that found no room.
    """
    room = width + _GAP
    kept: dict[str, Filled] = {}
    left_out: list[str] = []
    for column in sorted(columns, key=lambda column: column.rank or 0):
        cells = _cells(column, lines)
        need = _natural(column, cells) + _GAP
        if column.name == "layer":
            need = min(need, max(_NAME_AT_LEAST, width // 4))
        if not any(cells):
            continue
        if need > room:
            left_out.append(column.name)
            continue
        room -= need
        kept[column.name] = column, cells
    return [kept[column.name] for column in columns if column.name in kept], left_out


def _cells(column: Column, lines: Sequence[Line]) -> list[str]:
    return [column.cell(line) for line in lines]


def _natural(column: Column, cells: Sequence[str]) -> int:
    return max([len(column.name), *map(len, cells)])


def _parts(
    report: Report, shown: Sequence[Filled], left_out: Sequence[str], width: int
) -> list[RenderableType]:
    size = report.analysis.input_text
    mode = "training" if report.train else "eval"
    parts: list[RenderableType] = [
        Text.assemble((report.model, "bold"), f"  input {size}  {mode} mode"),
        "",
    ]
    if report.asks:
        for section in sections(report):
            parts += _section(section)
    else:
        parts += [_rows(shown, width), ""]
        if left_out:
            text = f"no room for: {', '.join(left_out)} (a wider terminal, --width or --columns shows them)"
            parts += [Text(text, "dim"), ""]
        parts += [_facts(report), ""]
    parts += [Text(_legend(shown) + CONVENTION, "dim"), ""]
    against = compared(report)
    parts += _section(against) if against else []
    if report.verdict and report.verdict.limits:
        parts += [_limits(report.verdict.limits, width), ""]
    return [*parts, _verdict(report)]


def _short(report: Report, width: int) -> list[RenderableType]:
    broken = report.verdict.broken if report.verdict else ()
    parts: list[RenderableType] = [_limits(broken, width), ""] if broken else []
    return [*parts, _verdict(report)]


def _verdict(report: Report) -> Text:
    judged = report.verdict is not None and bool(report.verdict.margins)
    style = "bold red" if not report.ok else "bold green" if judged else "bold"
    return Text(verdict_sentence(report), style)


def _legend(shown: Sequence[Filled]) -> str:
    """Say what the columns of one letter mean, where one is shown."""
    letters = {column.name: column.meaning.split(",")[0] for column, _ in shown if len(column.name) == 1}
    return f"{', '.join(letters)}: {', '.join(letters.values())}. " if letters else ""


def _rows(shown: Sequence[Filled], width: int) -> Table:
    table = _plain_table()
    others = sum(_natural(column, cells) + _GAP for column, cells in shown if column.name != "layer")
    room = max(_NAME_AT_LEAST, width - others)
    texts = []
    for column, cells in shown:
        is_path = column.name == "layer"
        justify: JustifyMethod = "right" if column.number else "left"
        table.add_column(column.name, justify=justify, overflow="fold", max_width=room if is_path else None)
        texts.append([folded(cell, room) for cell in cells] if is_path else cells)
    for row in zip(*texts, strict=True):
        table.add_row(*row)
    return table


def folded(path: str, room: int) -> str:
    """Break a module path after its dots so that no line is longer than `room`, where a dot allows it."""
    done, current = [], ""
    for part in path.split("."):
        joined = f"{current}.{part}" if current else part
        if current and len(joined) + 1 > room:
            done.append(current + ".")
            joined = "  " + part
        current = joined
    return "\n".join([*done, current])


def _section(section: Section) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(section.title, "bold")]
    parts += [section.text] if section.text else []
    if section.rows:
        table = _plain_table()
        for i, (name, number) in enumerate(zip(section.header, section.numbers, strict=True)):
            last = i == len(section.header) - 1
            table.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=not last)
        for row in section.rows:
            table.add_row(*row)
        parts += ["", table]
    return [*parts, ""]


def _facts(report: Report) -> Table:
    table = Table.grid(padding=(0, _GAP, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, sentence in facts(report):
        table.add_row(label, sentence)
    return table


def _limits(limits: Sequence[Limit], width: int) -> Table:
    """Draw limits; where there is no room for it, the place to look at is left out and the room folds."""
    table = _plain_table()
    texts = [limit_texts(limit) for limit in limits]
    header = ("", "limit", "value", "must be", "room")
    natural = [max(len(row[i]) for row in (header, *texts)) + _GAP for i in range(len(header))]
    has_where = width - sum(natural) >= _WHERE_AT_LEAST
    for name in header:
        right = name in ("value", "must be")
        table.add_column(
            name, justify="right" if right else "left", no_wrap=has_where or name != "room", overflow="fold"
        )
    if has_where:
        table.add_column("where", overflow="fold")
    for limit, (state, *cells) in zip(limits, texts, strict=True):
        style = {True: "green", False: "bold red", None: "dim"}[limit.held]
        table.add_row(Text(state, style), *(cells if has_where else cells[:-1]))
    return table


def _plain_table() -> Table:
    """A table with a rule below its header and nothing else, so that it can be copied as text."""
    return Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )
