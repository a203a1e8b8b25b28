"""What the live displays of a terminal share: a bar with its times, which keeps to one line at any width."""

import sys
import time
from collections.abc import Callable

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from records.text import clock

LONGEST, SHORTEST = 40, 5
"""Columns of a bar; where fewer are left than the shortest, there is none."""


class StepBar:
    """The progress of so many steps; drawn as one line, and a second one for the note.

    The time left is that of the steps so far, of this session alone, continued.

    Args:
        title: What is being done.
        total: Number of steps.
        done: Steps that were done before.
        now: A clock in seconds.
    """

    def __init__(
        self, title: str, total: float, done: float = 0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.title, self.total, self.done, self.note = title, total, done, ""
        self.shown: str | None = None
        """Text in place of the count; by default "done/total"."""
        self._now, self._began, self._before = now, now(), done
        self._moved: float | None = None
        self._ended: float | None = None

    def move(self, done: float, note: str) -> None:
        """Set the number of steps that are done, and what there is to say about the latest."""
        self.done, self.note, self._moved = done, note, self._now()

    def skip_to(self, done: float) -> None:
        """Take steps for done that nobody saw: an earlier session made them."""
        self._before += done - self.done
        self.done = done

    def end(self) -> None:
        """Stop the clock."""
        self._ended = self._now()

    @property
    def elapsed(self) -> float:
        """Seconds since the begin."""
        return (self._now() if self._ended is None else self._ended) - self._began

    @property
    def left(self) -> float | None:
        """Seconds until the end, as far as the steps so far tell; None: not known."""
        steps = self.done - self._before
        if self._moved is None or steps <= 0:
            return None
        each = (self._moved - self._began) / steps
        return max(0.0, each * (self.total - self.done) - (self._now() - self._moved))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it: the bar takes what the figures leave of the line."""
        count = f"{self.done:.0f}/{self.total:.0f}" if self.shown is None else self.shown
        parts = [f"{self.title:<10}", count, f"{clock(self.elapsed)} elapsed"]
        running = self._ended is None and self.done < self.total
        if running and (left := self.left) is not None:
            parts.append(f"{clock(left)} left")
        room = options.max_width - sum(map(len, parts)) - len(parts)
        cells: list[Text | ProgressBar] = [Text(part, no_wrap=True) for part in parts]
        if room >= SHORTEST:
            width = min(LONGEST, room)
            cells.insert(1, ProgressBar(max(self.total, 1e-9), self.done, width=width))
        if room < 0:  # a grid would cut the times
            yield Text(" ".join(parts))
        else:
            line = Table.grid(padding=(0, 1, 0, 0))
            for _ in cells:
                line.add_column(no_wrap=True)
            line.add_row(*cells)
            yield line
        if running and self.note:
            yield Text(f"{'':10} {self.note}", style="dim", no_wrap=True, overflow="ellipsis")


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that breaks lines between words on a terminal and nowhere else.

    A pipe or a file gets whole lines, which can be searched; a terminal would break a long one within a word.
    """
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return _Console(stderr=stderr, highlight=False, emoji=False, soft_wrap=not terminal)


class _Console(Console):
    """A console that leaves a closed pipe to the command, where rich would end the process with code 1."""

    def on_broken_pipe(self) -> None:
        raise
