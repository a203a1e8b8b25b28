import io
import sys

import pytest

from records.codec import RecordError
from records.errors import UserError, one_line, tell
from reports.errors import ReportError
from search.errors import SearchError
from training.errors import DataError, TrainingError


def test_every_error_of_the_application_has_one_root() -> None:
    for kind in (RecordError, ReportError, SearchError, DataError, TrainingError):
        assert issubclass(kind, UserError)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\r\n\tc", "a b c"),
        ("red \x1b[31m and \x00 and \u2028 and \u202e", r"red \x1b[31m and \x00 and and \u202e"),
        ("größer 猫", "größer 猫"),
        ("--data postgresql://u:pw@h/db: is gone", "--data postgresql://u:***@h/db: is gone"),
        ("postgresql://u:p@s/w@h/db, then", "postgresql://u:***@h/db, then"),
        ("'mysql://u:my pass\nword@h'", "'mysql://u:***@h'"),
        ("--spec x postgresql:/u:pw@h/db: is gone", "--spec x postgresql:/u:***@h/db: is gone"),
        ("x://:pw@h", "x://:***@h"),
        ("pg://h/db?user=u&password=pw&x=1", "pg://h/db?user=u&password=***&x=1"),
        ("http://127.0.0.1:8123/x; ask a@b", "http://127.0.0.1:8123/x; ask a@b"),
        ("C://nothing here", "C://nothing here"),
    ],
)
def test_an_error_is_one_line_without_passwords(text: str, line: str) -> None:
    assert one_line(UserError(text)) == line


def test_a_terminal_that_knows_ascii_alone_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
    assert tell("train.py", "größer") == 2
    sys.stderr.flush()
    assert raw.getvalue() == b"train.py: error: gr\\xf6\\xdfer\n"
