"""Words on what a slow command is doing, on stderr: nobody waits before a silent terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 2.0
"""Seconds before the first words: what is done by then needs none."""
EVERY = {True: 0.2, False: 10.0}
"""Seconds between two notes: a terminal rewrites one line, a log file gets another one."""


@contextmanager
def progress(prefix: str) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows its words on stderr, when there has been nothing for a while.

    Args:
        prefix: What every note begins with.
    """
    terminal = sys.stderr.isatty()
    said_at = time.monotonic() + PATIENCE - EVERY[terminal]
    on_line = 0

    def note(words: str) -> None:
        nonlocal said_at, on_line
        if time.monotonic() - said_at < EVERY[terminal]:
            return
        said_at = time.monotonic()
        text = f"{prefix}{words}"
        sys.stderr.write(f"\r{text.ljust(on_line)}" if terminal else f"{text}\n")
        sys.stderr.flush()
        on_line = len(text)

    try:
        yield note
    finally:
        if terminal and on_line:
            sys.stderr.write(f"\r{' ' * on_line}\r")
            sys.stderr.flush()
