"""The losses of single steps: printed in the form of the published logs, and kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from rich.console import Console

Losses = Sequence[float] | npt.NDArray[np.float32]


class LossLog:
    """Prints the mean loss of every so many steps while a network trains.

    Args:
        console: Where.
        every: Steps between lines; None: nothing is printed.
    """

    def __init__(self, console: Console, every: int | None) -> None:
        self._console, self._every = console, every
        self._epoch, self._shown = 0, 0

    def __call__(self, epoch: int, losses: Losses) -> None:
        """Print what is new.

        Args:
            epoch: Counted from 1.
            losses: Of all its steps so far.
        """
        if self._every is None:
            return
        if epoch != self._epoch:
            self._epoch, self._shown = epoch, 0
        for line in _lines(epoch, losses, self._every, after=self._shown):
            self._console.print(line, markup=False)
        self._shown = len(losses)


def log_lines(losses: Losses, epochs: int, every: int) -> list[str]:
    """Return the whole log of a finished training.

    Args:
        losses: Of every step of all epochs.
        epochs: How many; all have the same number of steps.
        every: Steps between lines.
    """
    steps = len(losses) // epochs
    return [
        line
        for epoch in range(epochs)
        for line in _lines(epoch + 1, losses[epoch * steps : (epoch + 1) * steps], every)
    ]


def _lines(epoch: int, losses: Losses, every: int, after: int = 0) -> Iterator[str]:
    for step in range(after // every * every + every, len(losses) + 1, every):
        # The form of the published log: the mean since the line before.
        mean = float(np.mean(losses[step - every : step]))
        yield f"[epoch: {epoch}, batch num: {step:3d}] loss: {mean:.3f}"
