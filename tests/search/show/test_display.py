"""The live display as a terminal of 80, 110 and 140 columns shows it."""

from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from records.run import EpochRecord
from records.trial import TrialRecord
from search.execute.job import DataRequest, Job, Keep
from search.show.display import Display
from search.show.standing import Standing

WIDTHS = (80, 110, 140)
JOB = Job(12, 1, {}, {"epochs": 4}, 7, DataRequest("shapes", "nowhere", None, None, 0))
EPOCH = EpochRecord(1, 1.0, 0.5, 1.0, 0.582, 0.1, 1.0)


@pytest.fixture(autouse=True)
def _a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")  # on a dumb one nothing is drawn twice


class Terminal:
    """A terminal's screen: what is written to it is drawn by an emulator of one."""

    def __init__(self, columns: int) -> None:
        pyte = pytest.importorskip("pyte", reason="the emulator of a terminal (pyte) is not installed")
        self.columns = columns
        self._screen = pyte.Screen(columns, 24)
        self._stream = pyte.Stream(self._screen)
        self._file = StringIO()
        self.console = Console(
            file=self._file, force_terminal=True, width=columns, height=24, color_system=None,
            highlight=False, legacy_windows=False,
        )  # fmt: skip

    def lines(self) -> list[str]:
        self._stream.feed(self._file.getvalue().replace("\n", "\r\n"))
        self._file.seek(0)
        self._file.truncate()
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines


def _best() -> TrialRecord:
    return TrialRecord(
        number=3, attempt=1, state="complete", spec={}, recipe={}, seed=0, values={}, params=99_954,
        macs=12_300_000, receptive_field=61, margins={}, score=0.613, seconds=10.0,
    )  # fmt: skip


def _draw(columns: int) -> list[str]:
    """Return the screen 1:38:20 after the begin, with 12 of 50 trials done and two under way."""
    seconds = [0.0]
    terminal = Terminal(columns)
    with Display(terminal.console, lambda: seconds[0], live=False) as display:
        display.stage("trials", 50)
        for trial in range(12):
            seconds[0] = 480.0 * (trial + 1)
            display.advance(f"trial {trial} complete at 58.2 %, best 61.3 %")
        display._standing = Standing(
            counts={"complete": 9, "pruned": 3, "failed": 1, "rejected": 1_204},
            rejections={"max_params": 1_100, "min_receptive_field": 104},
            best=_best(),
            history=(0.412, 0.412, 0.553, 0.601, 0.601, 0.613, 0.613, 0.613, 0.613),
            per_hour=7.5,
        )
        display.began(JOB, "trial 12")
        display.add_epoch(JOB, EPOCH)
        display.began(replace(JOB, number=13, attempt=2), "trial 13")
        display.say(
            "the study's database does not answer (connection refused); trying again for up to 60 s", "yellow"
        )
        seconds[0] = 5_900.0
        display.refresh()
        return terminal.lines()


@pytest.mark.parametrize("columns", WIDTHS)
def test_the_display_of_a_running_search(columns: int, golden: Callable[[str, str], None]) -> None:
    lines = _draw(columns)
    golden(f"search_display_{columns}.txt", "\n".join(lines) + "\n")
    assert all(len(line) <= columns for line in lines)
    (bar,) = [line for line in lines if line.startswith("trials ")]
    assert "12/50" in bar
    assert bar.endswith("1:38:20 elapsed 5:01:40 left")
    assert "..." not in "".join(lines)
    words = " ".join(" ".join(lines).split())
    assert "receptive field 61" in words  # no word is broken, none is cut
    assert "trying again for up to 60 s" in words


def test_a_very_narrow_terminal_cuts_no_time() -> None:
    words = " ".join(" ".join(_draw(40)).split())
    assert "trials 12/50 1:38:20 elapsed 5:01:40 left" in words


def test_before_the_first_step_no_time_is_promised() -> None:
    terminal = Terminal(80)
    with Display(terminal.console, lambda: 98.0, live=False) as display:
        display.stage("trials", 50)
        display.refresh()
        (bar,) = terminal.lines()
    assert bar.endswith("0/50 0:00 elapsed")


def test_the_time_left_is_of_this_session_and_runs_down() -> None:
    seconds = [0.0]
    terminal = Terminal(80)
    with Display(terminal.console, lambda: seconds[0], live=False) as display:
        display.stage("winner", 26)
        keep = replace(JOB, keep=Keep("nowhere", "one", "python -m search"))
        display.began(keep, "winner")
        for epoch in (11, 12):  # ten epochs were trained before a break
            seconds[0] += 60.0
            display.epoch(replace(EPOCH, epoch=epoch), 26)
        seconds[0] += 30.0
        display.refresh()
        bar, note = terminal.lines()
    assert bar.endswith("12/26 2:30 elapsed 13:30 left")
    assert note.strip() == "epoch 12/26  loss 1.000  train 50.0%"


def test_a_stage_that_has_ended_keeps_its_time() -> None:
    seconds = [0.0]
    terminal = Terminal(80)
    with Display(terminal.console, lambda: seconds[0], live=False) as display:
        display.stage("trials", 1)
        seconds[0] = 65.0
        display.advance("trial 0 complete")
        display.stage("finalists", 3)
        seconds[0] = 100.0
        display.refresh()
        lines = terminal.lines()
    assert [line.split()[0] for line in lines] == ["trials", "finalists"]
    assert lines[0].endswith("1/1 1:05 elapsed")
    assert lines[1].endswith("0/3 0:35 elapsed")
