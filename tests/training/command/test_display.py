import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from records.run import EpochRecord
from training.command.display import Display
from training.fit.loop import Progress


def _shown(terminal: bool) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120, color_system=None, highlight=False)
    with Display(console, 2) as display:
        for step in (8, 16):
            display.step(Progress(1, 2, step, 16, 1.234, 0.5, 2345.0))
        display.epoch(EpochRecord(1, 1.25, 0.5, 1.5, 0.4, 0.1, 3.0))
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue())


def test_the_bar_tells_loss_accuracy_speed_and_the_time_left():
    text = _shown(terminal=True)
    assert re.search(r"epoch 1/2 .* 50% 0:0\d elapsed 0:0\d left", text)
    assert "loss 1.234  train 50.0%  2,345 images/s" in text


def test_without_a_terminal_there_are_plain_lines_alone():
    lines = _shown(terminal=False).splitlines()
    assert [line.split()[0] for line in lines] == ["epoch", "1/2"]
    assert "images/s" not in " ".join(lines)


@pytest.mark.parametrize("columns", [80, 110, 140])
def test_a_terminal_shows_whole_times_and_whole_words(
    columns: int, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")  # on a dumb one nothing is drawn twice
    pyte = pytest.importorskip("pyte", reason="the emulator of a terminal (pyte) is not installed")
    screen, seconds, text = pyte.Screen(columns, 12), [0.0], io.StringIO()
    console = Console(
        file=text, force_terminal=True, width=columns, height=12, color_system=None, highlight=False,
        legacy_windows=False,
    )  # fmt: skip
    with Display(console, 30, lambda: seconds[0], live=False) as display:
        display.epoch(EpochRecord(10, 1.25, 0.5, 1.5, 0.4, 0.1, 3.0))
        for step in (1, 2):  # of a run that goes on after its tenth epoch
            seconds[0] = 60.0 * step
            display.step(Progress(11, 30, 10 * step, 100, 1.234, 0.5, 12_345.0))
        seconds[0] = 3_700.0
        display.step(Progress(14, 30, 50, 100, 1.234, 0.5, 12_345.0))
        display.refresh()
        pyte.Stream(screen).feed(text.getvalue().replace("\n", "\r\n"))
    lines = [line.rstrip() for line in screen.display if line.strip()]
    golden(f"train_display_{columns}.txt", "\n".join(lines) + "\n")
    assert lines[-2].endswith("45% 1:01:40 elapsed 4:50:42 left")
    assert lines[-1].strip() == "loss 1.234  train 50.0%  12,345 images/s"
