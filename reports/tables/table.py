"""A table: facts with a caption and typed columns, drawn in the terminal, as Markdown or as CSV.

A cell holds the value itself; its column knows how the value is shown. So a page, a terminal and a CSV file
made from the same table cannot disagree.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rich.table
from rich.text import Text

from records import text
from records.text import duration

Cell = str | int | float | bool | None
NONE = "-"


@dataclass(frozen=True)
class Column:
    """One column: its heading, how a value is shown, whether it is a number (aligned right)."""

    title: str
    show: Callable[[Any], str] = str
    number: bool = False
    mark: Callable[[Any], str | None] | None = None
    """What a page marks the cell with: "yes", "no" or "unknown"."""


@dataclass(frozen=True)
class Table:
    """A caption, columns, and rows with one value a column; None is shown as a dash."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def shown(self) -> list[list[str]]:
        """Every cell as a reader sees it."""
        return [
            [
                NONE if cell is None else column.show(cell)
                for column, cell in zip(self.columns, row, strict=True)
            ]
            for row in self.rows
        ]

    def to_rich(self) -> rich.table.Table:
        """Draw it for a terminal; names are printed as they are, never as markup."""
        drawn = rich.table.Table(title=Text(self.caption), title_justify="left", header_style="bold")
        for column in self.columns:
            drawn.add_column(Text(column.title), justify="right" if column.number else "left")
        for row in self.shown():
            drawn.add_row(*map(Text, row))
        return drawn

    def to_markdown(self) -> str:
        """Return it as a Markdown table under its caption."""
        rule = ["---:" if column.number else ":---" for column in self.columns]
        heading = [column.title for column in self.columns]
        lines = [heading, rule, *self.shown()]
        return f"**{self.caption}**\n\n" + "".join(
            f"| {' | '.join(map(text.markdown_cell, line))} |\n" for line in lines
        )

    def to_csv(self) -> str:
        """Return it as CSV with the values as they are stored, not as they are shown."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([column.title for column in self.columns])
        writer.writerows(self.rows)
        return out.getvalue()


def percent(share: float) -> str:
    """Show 0.8412 as "84.12 %"."""
    return text.percent(share, 2)


def count(value: float) -> str:
    """Show 98231 as "98,231"; a text, such as a proposed kernel's name, as it is."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def millions(value: int) -> str:
    """Show 4_089_184_256 as "4.09 G", 12_345_678 as "12.35 M" and 51_234 as "51.2 k"."""
    if value >= 1_000_000_000:
        return f"{value / 1e9:,.2f} G"
    if value >= 1_000_000:
        return f"{value / 1e6:,.2f} M"
    return f"{value / 1e3:.1f} k" if value >= 1_000 else str(value)


def percents(title: str) -> Column:
    """A column of shares, 0-1, shown in percent."""
    return Column(title, percent, number=True)


def counts(title: str) -> Column:
    """A column of whole numbers with thousands separators."""
    return Column(title, count, number=True)


def times(title: str) -> Column:
    """A column of seconds."""
    return Column(title, duration, number=True)
