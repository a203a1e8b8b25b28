import io
import sys

import pytest

from reports import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        # Notes at 0, 1, 2.5, 2.6, 13 and 14 s: a line each 10 s in a file, a line rewritten on a terminal.
        (io.StringIO(), "reports: step 2\nreports: step 4\n"),
        (
            Terminal(),
            "\rreports: step 2\rreports: step 4\rreports: step 5\r               \r",
        ),
    ],
    ids=["file", "terminal"],
)
def test_the_first_note_waits_and_later_ones_do_not_flood(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, expected: str
) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.progress("reports: ") as note:
        for number, clock.now in enumerate([0, 1, 2.5, 2.6, 13, 14]):
            note(f"step {number}")
    assert stream.getvalue() == expected
