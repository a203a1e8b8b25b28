"""The stages of a search on its page: as many as its record lists."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from records.files import write_json
from records.search import StageRecord
from reports.pages.page import write_search_report
from reports.runs import open_search
from reports.tables.stages import stages

FOUND = (StageRecord("trials", 4, 2_500, 600.0), StageRecord("distilled", 12, 50_000, 3_700.0))


def test_every_stage_of_the_record_has_a_row_whatever_its_name(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=3)
    record = dataclasses.replace(open_search(folder).record, stages=FOUND)
    table = stages(record)
    assert table is not None
    assert [row[:3] for row in table.shown()] == [["trials", "4", "2,500"], ["distilled", "12", "50,000"]]
    write_json(folder / "search.json", record.to_json())
    page = write_search_report(folder).read_text(encoding="utf-8")
    assert "distilled" in page


def test_a_search_of_an_earlier_version_has_no_such_table(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=3)
    assert stages(open_search(folder).record) is None
    assert "Stages, and the time" not in write_search_report(folder).read_text(encoding="utf-8")
