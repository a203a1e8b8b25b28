import io

import pytest
from rich.console import Console

from records.text import duration
from reports.tables.table import Column, Table, counts, millions, percents

TABLE = Table(
    "A [bold]caption[/bold]",
    (Column("name"), percents("accuracy"), counts("params")),
    (("cat | dog", 0.84125, 98231), ("<b>", None, 7)),
)


def test_a_terminal_shows_names_as_they_are() -> None:
    console = Console(file=io.StringIO(), width=60, color_system=None)
    console.print(TABLE.to_rich())
    text = console.file.getvalue()
    assert "[bold]" in text
    assert "84.12 %" in text
    assert "98,231" in text


def test_markdown_keeps_a_cell_in_its_column() -> None:
    lines = TABLE.to_markdown().splitlines()
    assert lines[2:] == [
        "| name | accuracy | params |",
        "| :--- | ---: | ---: |",
        "| cat \\| dog | 84.12 % | 98,231 |",
        "| &lt;b> | - | 7 |",
    ]


def test_csv_holds_the_values_as_they_are_stored() -> None:
    assert TABLE.to_csv() == "name,accuracy,params\ncat | dog,0.84125,98231\n<b>,,7\n"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (125.6, "2 min 6 s"), (7260, "2 h 1 min")],
)
def test_durations_are_shown_in_the_unit_a_person_would_use(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(("value", "shown"), [(12, "12"), (51_234, "51.2 k"), (12_345_678, "12.35 M")])
def test_macs_are_shown_in_thousands_and_millions(value: int, shown: str) -> None:
    assert millions(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(999, "999"), (51_234, "51.2 k"), (12_345_678, "12.35 M"), (4_089_184_256, "4.09 G")],
)
def test_counts_are_shown_with_the_unit_that_fits(value: int, shown: str) -> None:
    assert millions(value) == shown
