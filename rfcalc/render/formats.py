"""Report -> text: one function for each format, chosen by name."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from rfcalc.analysis.grouping import grouped
from rfcalc.analysis.view import Line, lines_of
from rfcalc.render.columns import Column, default_columns, for_readers
from rfcalc.render.json import all_to_json, to_json
from rfcalc.render.limits import limit_texts
from rfcalc.render.report import CONVENTION, Outcome, Report, facts, verdict_sentence
from rfcalc.render.sections import compared, sections


def render_all(
    outcomes: Sequence[Outcome],
    form: str,
    columns: Sequence[Column] | None = None,
    *,
    every_row: bool = False,
    depth: int | None = None,
    width: int | None = None,
    colour: bool = False,
    quiet: bool = False,
) -> str:
    """Draw all networks of one call: one of them in full, several at a glance.

    Args:
        outcomes: The networks, one at least.
        form: As in `render`, or "github", "junit", "sarif".
        columns: As in `render`.
        every_row: As in `render`.
        depth: As in `render`.
        width: As in `render`.
        colour: As in `render`.
        quiet: Draw the broken limits and the verdict only, in a table.
    """
    if form in ("github", "junit", "sarif"):
        from rfcalc.render.machines import machine_text

        return machine_text(outcomes, form)
    reports = [outcome.report for outcome in outcomes if outcome.report is not None]
    if len(outcomes) == 1 and reports:
        return render(
            reports[0],
            form,
            columns,
            every_row=every_row,
            depth=depth,
            width=width,
            colour=colour,
            quiet=quiet,
        )
    if form == "json":
        return all_to_json(outcomes)
    if form == "csv":
        return _all_csv(outcomes, columns or for_readers(default_columns()), every_row)
    from rfcalc.render.summary import summary_markdown, summary_table

    return summary_markdown(outcomes) if form == "md" else summary_table(outcomes, width=width, quiet=quiet)


def render(
    report: Report,
    form: str,
    columns: Sequence[Column] | None = None,
    *,
    every_row: bool = False,
    depth: int | None = None,
    width: int | None = None,
    colour: bool = False,
    quiet: bool = False,
) -> str:
    """Draw a report.

    Args:
        report: The facts.
        form: "table", "json", "csv" or "md".
        columns: The columns that were asked for; None leaves the choice to the format and the width.
        every_row: Show activations and norms as rows of their own (JSON always does).
        depth: Put lines together by module, so many parts of the path deep; None: do not (JSON never does).
        width: Characters in a line of the table; None: what the terminal has.
        colour: Whether a table may carry colours.
        quiet: Draw the broken limits and the verdict only, in a table.

    Returns:
        The whole text, with its last newline.
    """
    if form == "json":
        return to_json(report)
    lines = lines_of(report.analysis, every_row, report.sigmas or ())
    lines = grouped(lines, depth) if depth else lines
    if not columns and form != "table":
        columns = default_columns(erf=report.sigmas is not None)
        columns = for_readers(columns) if form == "csv" else columns
    if form == "csv":
        return _csv(lines, columns or ())
    if form == "md":
        return _markdown(report, lines, columns or ())
    # rich costs a tenth of a second that no other format needs.
    from rfcalc.render.table import to_table

    return to_table(report, lines, columns, width=width, colour=colour, quiet=quiet)


def _all_csv(outcomes: Sequence[Outcome], columns: Sequence[Column], every_row: bool) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["network", *(column.name for column in columns)])
    for outcome in outcomes:
        for line in lines_of(outcome.report.analysis, every_row) if outcome.report else ():
            writer.writerow([outcome.name, *(column.plain(line) for column in columns)])
    return file.getvalue()


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
            parts += [grid(section.header, section.rows, section.numbers)] if section.rows else []
    else:
        parts.append(grid([column.name for column in shown], rows, [column.number for column in shown]))
        parts.append("\n".join(f"- {label}: {_escaped(sentence)}" for label, sentence in facts(report)))
    parts.append(CONVENTION)
    against = compared(report)
    if against:
        parts += [f"## {_escaped(against.title)}", grid(against.header, against.rows, against.numbers)]
    if report.verdict and report.verdict.limits:
        judged = [list(limit_texts(limit)) for limit in report.verdict.limits]
        header = ["", "limit", "value", "must be", "room", "where"]
        parts.append(grid(header, judged, [False, False, True, True, False, False]))
    parts.append(_escaped(verdict_sentence(report)))
    return "\n\n".join(parts) + "\n"


def grid(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[bool]) -> str:
    """Draw a table in Markdown; `numbers` says which columns are set flush right."""
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
