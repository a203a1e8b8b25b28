"""The comparison with other tools: its own oracle agrees with rfcalc, and a missing tool is a row."""

from __future__ import annotations

import pytest

from benchmarks.tools_side_by_side import SUBJECTS, TOOLS, asked, table


@pytest.mark.parametrize("name", ["c1c2c3c4", "decoder"])
def test_gradients_and_rfcalc_agree(name: str) -> None:
    expected = asked("gradients", SUBJECTS[name])
    found = asked("rfcalc", SUBJECTS[name])
    assert not isinstance(expected, str)
    assert not isinstance(found, str)
    assert (found[0], found[2]) == (expected[0], expected[2])


def test_a_tool_that_is_missing_or_fails_keeps_its_row() -> None:
    figures = {
        tool: dict.fromkeys(SUBJECTS, "not installed (x)" if tool == "thop" else (1, None, 3))
        for tool in TOOLS
    }
    text = table(figures)  # type: ignore[arg-type]
    assert text.count("not installed (x)") == len(SUBJECTS)
    assert "| 1 | - | 3 |" in text
