"""Report -> text: one function for each format, chosen by name."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from rfcalc.analysis.view import Line, lines_of
from rfcalc.render.columns import Column, default_columns
from rfcalc.render.json import to_json
from rfcalc.render.report import CONVENTION, Report, facts, limit_texts, verdict_sentence
from rfcalc.render.sections import sections


def render(
    report: Report,
    form: str,
    columns: Sequence[Column] | None = None,
    *,
    every_row: bool = False,
    width: int | None = None,
    colour: bool = False,
) -> str:
    """Draw a report.

    Args:
        report: The facts.
        form: "table", "json", "csv" or "md".
        columns: The columns that were asked for; None leaves the choice to the format and the width.
        every_row: Show activations and norms as rows of their own (JSON always does).
        width: Characters in a line of the table; None: what the terminal has.
        colour: Whether a table may carry colours.

    Returns:
        The whole text, with its last newline.
    """
    if form == "json":
        return to_json(report)
    lines = lines_of(report.analysis, every_row, report.sigmas or ())
    columns = columns or (None if form == "table" else default_columns(erf=report.sigmas is not None))
    if form == "csv":
        return _csv(lines, columns or ())
    if form == "md":
        return _markdown(report, lines, columns or ())
    # rich costs a tenth of a second that no other format needs.
    from rfcalc.render.table import to_table

    return to_table(report, lines, columns, width=width, colour=colour)


def _csv(lines: Sequence[Line], columns: Sequence[Column]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    writer.writerows([column.plain(line) for column in columns] for line in lines)
    return file.getvalue()


def _markdown(report: Report, lines: Sequence[Line], columns: Sequence[Column]) -> str:
    title = f"# {report.model} at {report.analysis.input_text}"
    cells = {column: [column.cell(line) for line in lines] for column in columns}
    shown = [column for column in columns if any(cells[column])]
    rows = list(zip(*(cells[column] for column in shown), strict=True))
    parts = [title]
    if report.asks:
        for section in sections(report):
            parts.append(f"## {section.title}")
            parts += [_escaped(section.text)] if section.text else []
            parts += [_grid(section.header, section.rows, section.numbers)] if section.rows else []
    else:
        parts.append(_grid([column.name for column in shown], rows, [column.number for column in shown]))
        parts.append("\n".join(f"- {label}: {_escaped(sentence)}" for label, sentence in facts(report)))
    if report.verdict and report.verdict.limits:
        judged = [list(limit_texts(limit)) for limit in report.verdict.limits]
        header = ["", "limit", "value", "must be", "margin", "where"]
        parts.append(_grid(header, judged, [False, False, True, True, True, False]))
    parts += [_escaped(verdict_sentence(report)), CONVENTION]
    return "\n\n".join(parts) + "\n"


def _grid(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[bool]) -> str:
    texts = [[_escaped(text) for text in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[i]) for row in texts)) for i in range(len(header))]

    def drawn(row: Sequence[str]) -> str:
        cells = [
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(row, widths, numbers, strict=True)
        ]
        return f"| {' | '.join(cells)} |"

    rule = [
        "-" * (width - 1) + (":" if number else "-") for width, number in zip(widths, numbers, strict=True)
    ]
    return "\n".join([drawn(texts[0]), drawn(rule), *(drawn(row) for row in texts[1:])])


def _escaped(text: str) -> str:
    """Keep what Markdown would take for a table, emphasis or a tag from being taken for it."""
    return re.sub(r"([\\|_*`]|<(?=[A-Za-z/!]))", r"\\\1", text)
