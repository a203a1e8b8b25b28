"""What differs between two networks -> text: table, Markdown, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rfcalc.errors import one_line
from rfcalc.render.formats import grid
from rfcalc.render.sections import Section, change, shown
from rfcalc.text import human, listed, plural

if TYPE_CHECKING:
    from rfcalc.analysis.result import Analysis
    from rfcalc.questions.differences import Difference

_MARKS = {"same": "", "changed": "~", "added": "+", "removed": "-"}
_HEADER = ("", "layer", "op", "what")


def render_differences(
    names: Sequence[str],
    before: Analysis,
    after: Analysis,
    lines: Sequence[Difference],
    form: str,
    width: int | None = None,
) -> str:
    """Draw a comparison; a table leaves out what is the same.

    Args:
        names: What the two networks are called.
        before: The first.
        after: The second.
        lines: What differs.
        form: "table", "json", "csv" or "md".
        width: Characters in a line of the table; None: what the terminal has.
    """
    if form == "json":
        return _json(names, before, after, lines)
    if form == "csv":
        return _csv(lines)
    totals = Section(
        "Totals",
        "",
        ("", "before", "after", "change"),
        tuple(_totals(before, after)),
        (False, True, True, True),
    )
    rows = tuple(_row(line) for line in lines if line.state != "same")
    layers = Section("Layers", "", _HEADER, rows, (False, False, False, False))
    title = f"{one_line(names[0])} -> {one_line(names[1])}  input {after.input_text}"
    sentence = _sentence(lines)
    if form == "md":
        parts = [f"# {title}", grid(totals.header, totals.rows, totals.numbers)]
        parts += [grid(layers.header, layers.rows, layers.numbers)] if rows else []
        return "\n\n".join([*parts, sentence]) + "\n"
    from rfcalc.render.table import sections_text

    parts_shown = [totals, layers] if rows else [totals]
    return sections_text(title, parts_shown, sentence, width=width)


def _sentence(lines: Sequence[Difference]) -> str:
    counts = {state: sum(line.state == state for line in lines) for state in _MARKS}
    if counts["same"] == len(lines):
        return f"No difference in {plural(len(lines), 'layer')}."
    parts = [f"{counts[state]} {state}" for state in ("changed", "added", "removed", "same")]
    return f"Of {plural(len(lines), 'layer')}: {', '.join(parts)}."


def _row(line: Difference) -> tuple[str, ...]:
    shown = line.after or line.before
    assert shown is not None
    what = listed(line.changes, 12)
    if line.state in ("added", "removed"):
        what = f"{line.state}, {shown.params:,} parameters, {human(shown.macs)} MACs"
    return _MARKS[line.state], shown.row.name, shown.row.op, what


def _totals(before: Analysis, after: Analysis) -> list[tuple[str, ...]]:
    def sizes(analysis: Analysis) -> int | None:
        return min(analysis.field.size) if analysis.field_row is not None else None

    figures = [
        ("receptive field", sizes(before), sizes(after)),
        ("parameters", before.params, after.params),
        ("MACs", before.macs, after.macs),
        ("peak activation bytes", before.peak_activation_bytes, after.peak_activation_bytes),
    ]
    return [(name, shown(was), shown(now), change(was, now)) for name, was, now in figures]


def _json(names: Sequence[str], before: Analysis, after: Analysis, lines: Sequence[Difference]) -> str:
    content = {
        "schema": 1,
        "before": {"target": names[0], "params": before.params, "macs": before.macs},
        "after": {"target": names[1], "params": after.params, "macs": after.macs},
        "layers": [
            {
                "state": line.state,
                "before": line.before and line.before.row.name,
                "after": line.after and line.after.row.name,
                "changes": list(line.changes),
            }
            for line in lines
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _csv(lines: Sequence[Difference]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["state", "before", "after", "changes"])
    for line in lines:
        sides = [side.row.name if side else "" for side in (line.before, line.after)]
        writer.writerow([line.state, *sides, "; ".join(line.changes)])
    return file.getvalue()
