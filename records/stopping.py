"""Ctrl-C and SIGTERM: the first asks a command to save and leave, the second ends it at once."""

import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager


class Stopped(KeyboardInterrupt):
    """The user has asked for the end; what is finished is kept, and `--resume` continues.

    It is a KeyboardInterrupt so that no `except Exception` on the way takes it for a failure.
    """


class Stop:
    """Whether the user has asked for the end, and how urgently.

    Args:
        patient: Whether the first signal is only remembered, for whoever asks; otherwise it interrupts.
        insistent: Signals that interrupt even as the first.
    """

    def __init__(self, *, patient: bool = True, insistent: Collection[signal.Signals] = ()) -> None:
        self.asked = False
        """Begin nothing new; what runs may end."""
        self.now = False
        """End what runs, too."""
        self._patient = patient
        self._insistent = frozenset(insistent)

    def __call__(self) -> bool:
        """Return whether the user has asked for the end."""
        return self.asked

    def check(self) -> None:
        """Raise `Stopped` where the end may not wait.

        The signal handler raises it too, but Python drops an exception that a handler raises within a
        destructor; so loops ask.
        """
        if self.now:
            raise Stopped

    @contextmanager
    def patiently(self) -> Iterator[None]:
        """Within it, the first signal is only remembered."""
        before, self._patient = self._patient, True
        try:
            yield
        finally:
            self._patient = before

    def signalled(self, number: int, frame: object) -> None:
        """Take a signal; the signature is the one that `signal.signal` asks for.

        Raises:
            Stopped: It is the second, or one that may not wait.
        """
        self.now = self.asked or not self._patient or number in self._insistent
        self.asked = True
        self.check()


@contextmanager
def stopping(*, patient: bool = True, insistent: Collection[signal.Signals] = ()) -> Iterator[Stop]:
    """Take SIGINT and SIGTERM, and give them back afterwards; only the main thread of a process can.

    Args:
        patient: See `Stop`.
        insistent: See `Stop`.
    """
    stop = Stop(patient=patient, insistent=insistent)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {each: signal.signal(each, stop.signalled) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
