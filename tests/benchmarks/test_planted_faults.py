"""benchmarks/planted_faults.py: it plants, runs, mends, and says what survived."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import planted_faults
from benchmarks.planted_faults import FAULTS, FIRST, Fault, main, stale, survives


def test_there_are_forty_faults_and_each_changes_a_text_that_is_there_once() -> None:
    assert len(FAULTS) == len(set(FAULTS)) == 40
    assert len(set(FIRST)) == 8
    assert [(fault.file, fault.old, why) for fault in (*FAULTS, *FIRST) if (why := stale(fault))] == []
    assert all(fault.old != fault.new for fault in (*FAULTS, *FIRST))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "sums.py").write_text("# a, b: numbers\ndef add(a, b):\n    return a + b\n")
    test = "from sums import add\n\ndef test_add():\n    assert add(2, 3) == 5\n"
    (tmp_path / "test_sums.py").write_text(test)
    return tmp_path


@pytest.mark.parametrize(("new", "survived"), [("a - b", False), ("b + a", True)])
def test_a_fault_that_no_test_sees_survives_and_is_mended(tree: Path, new: str, survived: bool) -> None:
    before = (tree / "sums.py").read_text()
    assert survives(Fault("sums.py", "a + b", new, "test_sums.py"), tree) is survived
    assert (tree / "sums.py").read_text() == before


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault("gone.py", "a", "b", "test_sums.py"), "the file is gone"),
        (Fault("sums.py", "a * b", "b", "test_sums.py"), "its text occurs 0 times, not once"),
        (Fault("sums.py", "a, b", "b", "test_sums.py"), "its text occurs 2 times, not once"),
        (Fault("sums.py", "a + b", "b", "test_gone.py"), "test_gone.py is gone"),
    ],
)
def test_a_fault_that_cannot_be_planted_is_named(tree: Path, fault: Fault, why: str) -> None:
    assert stale(fault, tree) == why


def test_more_survivors_than_allowed_are_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for count, code in ((0, 0), (1, 1)):
        left = iter([True] * count + [False] * 40)
        monkeypatch.setattr(planted_faults, "survives", lambda fault, copy, left=left: next(left))
        assert main([]) == code
        assert f"{count} of 40 survive" in capsys.readouterr().out
    monkeypatch.setattr(planted_faults, "FAULTS", (Fault("gone.py", "a", "b", "tests"),))
    assert main([]) == 2
