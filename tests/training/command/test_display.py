import io
import re

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
    lines = [line for line in _shown(terminal=True).replace("\r", "\n").splitlines() if "images/s" in line]
    assert re.search(r"epoch 1/2 .* 50 % loss 1.234  train 50.0%  2,345 images/s 0:00:0\d left", lines[-1])


def test_without_a_terminal_there_are_plain_lines_alone():
    lines = _shown(terminal=False).splitlines()
    assert [line.split()[0] for line in lines] == ["epoch", "1/2"]
    assert "images/s" not in " ".join(lines)
