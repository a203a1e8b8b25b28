"""Ctrl-C and SIGTERM: the first asks a training to save and leave, the second ends it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stopping:
    """Whether the user has asked for the end."""

    def __init__(self) -> None:
        self.asked = False
        self._patient = False

    def __call__(self) -> bool:
        """Return whether the user has asked for the end."""
        return self.asked

    @contextmanager
    def patiently(self) -> Iterator[None]:
        """Within it, the first signal is remembered for whoever asks; elsewhere it interrupts."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False

    def signalled(self, number: int, frame: object) -> None:
        """Take a signal."""
        if self.asked or not self._patient:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stopping() -> Iterator[Stopping]:
    """Take SIGINT and SIGTERM, and give them back afterwards; only the main thread of a process can."""
    stop = Stopping()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop.signalled) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
