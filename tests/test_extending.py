"""Every example of docs/extending.md runs, each in a process of its own: they add to tables."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)


def test_every_row_of_the_table_has_a_section() -> None:
    rows = re.findall(r"^\| (an? [^|]+?) \|", TEXT, re.MULTILINE)
    assert rows == [f"{title[0].lower()}{title[1:]}" for title, _ in SECTIONS]


@pytest.mark.parametrize(("title", "section"), SECTIONS, ids=[title for title, _ in SECTIONS])
def test_the_example_runs(title: str, section: str) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert "assert " in code, f"{title}: the example checks nothing"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
