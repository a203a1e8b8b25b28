"""The bar of the live displays, and the console that they are drawn on."""

import io
import sys

import pytest
from rich.console import Console

from records.terminal import StepBar, make_console
from records.text import clock


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (9.9, "0:09"), (98, "1:38"), (3_600, "1:00:00"), (90_061, "25:01:01")],
)
def test_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def _drawn(bar: StepBar, columns: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, color_system=None)
    console.print(bar)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_time_left_is_the_rest_at_the_pace_of_this_session() -> None:
    seconds = [0.0]
    bar = StepBar("trials", 50, 40, lambda: seconds[0])
    assert bar.left is None
    seconds[0] = 60.0
    bar.move(42, "half way")
    assert bar.left == pytest.approx(240.0)  # 8 more at 30 s
    seconds[0] = 90.0
    assert bar.left == pytest.approx(210.0)  # it runs down
    seconds[0] = 9_000.0
    assert bar.left == 0.0
    bar.end()
    seconds[0] = 1e6
    assert bar.elapsed == 9_000.0


def test_nothing_is_promised_when_all_is_done() -> None:
    bar = StepBar("trials", 2, now=lambda: 5.0)
    bar.move(2, "done")
    (line,) = _drawn(bar)
    assert line.endswith("2/2 0:00 elapsed")


def test_no_steps_are_drawn_too() -> None:
    (line,) = _drawn(StepBar("presets", 0, now=lambda: 5.0))
    assert line.startswith("presets ")
    assert line.endswith("0/0 0:00 elapsed")


@pytest.mark.parametrize("columns", range(20, 160, 7))
def test_figures_are_whole_at_any_width(columns: int) -> None:
    seconds = [0.0]
    bar = StepBar("finalists", 1_000, now=lambda: seconds[0])
    seconds[0] = 36_000.0
    bar.move(999, "trial 999: 61.3 %")
    lines = _drawn(bar, columns)
    assert all(len(line) <= columns for line in lines)
    assert "999/1000 10:00:00 elapsed 0:36 left" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("terminal", [True, False])
def test_a_file_gets_whole_lines_and_a_terminal_whole_words(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    make_console().print("words of some length, one after the other, which go on and on")
    lines = stream.getvalue().splitlines()
    assert (len(lines) > 1) == terminal
    assert " ".join(line.strip() for line in lines) == (
        "words of some length, one after the other, which go on and on"
    )
