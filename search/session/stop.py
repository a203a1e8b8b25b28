"""How a user stops a search: once, and what runs is finished; twice, or SIGTERM, and it ends now."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Stopped(Exception):  # noqa: N818 (not an error: the user said stop)
    """The user said stop; what is finished is kept, and --resume continues."""


class Brake:
    """What the user has asked for so far."""

    def __init__(self) -> None:
        self.requested = False
        """Start nothing new; what runs may end."""
        self.now = False

    def check(self) -> None:
        """Raise `Stopped` where the stop may not wait.

        The signal handler raises it too, but an exception out of a handler is lost when it strikes in a
        destructor; so loops ask.
        """
        if self.now:
            raise Stopped

    def interrupt(self, number: int, frame: object) -> None:
        """Take a signal: SIGINT asks first and insists when it comes again, any other insists."""
        self.now = self.requested or number != signal.SIGINT
        self.requested = True
        self.check()


@contextmanager
def brake() -> Iterator[Brake]:
    """Let SIGINT (Ctrl-C) and SIGTERM pull the brake that is yielded."""
    pulled = Brake()
    before = {each: signal.signal(each, pulled.interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield pulled
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
