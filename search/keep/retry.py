"""Waiting for a database that is away for some seconds: a server that restarts, a file that is locked."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError

from records.errors import one_line
from search.errors import SearchError
from search.keep.storage import reason_of, scrubbed
from search.keep.study_lock import StudyLockedError

T = TypeVar("T")
PAUSE = 1.0
"""Seconds between two tries."""
_PASSING_CLASSES = ("08", "40")
"""SQLSTATE: the connection broke, the transaction was rolled back."""
_PASSING = ("57P01", "57P02", "57P03", "53300", "55P03")
"""SQLSTATE: the server stops, crashed, starts or has no connection free, a lock is taken."""
_SQLITE_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@dataclass
class DatabaseRetry:
    """Repeats what is asked of a database until it answers, for a limited time.

    Attributes:
        url: Of the database; its password is never shown.
        seconds: How long it may be away.
        say: Shows a line to the user.
        regain: Called before each further try; it takes again what was lost with the connection.
        check: Called between tries; raises where the user insists on the end.
    """

    url: str
    seconds: float
    say: Callable[[str], None]
    regain: Callable[[], None] = lambda: None
    check: Callable[[], None] = lambda: None

    def __call__(self, action: Callable[[], T], mend: Callable[[], None] = lambda: None) -> T:
        """Return what `action` returns, as soon as the database answers.

        Args:
            action: What is asked; it may be done a second time though the first was done already, where the
                answer alone was lost.
            mend: Called before each further try; it clears away what a try left half done.

        Raises:
            SQLAlchemyError, StorageInternalError: The database is away for longer than `seconds`, or answers
                something that waiting does not mend.
            SearchError: It is there again, but another driver has taken the study; or what `action` raises.
        """
        from sqlalchemy.exc import SQLAlchemyError

        deadline: float | None = None
        while True:
            try:
                if deadline is not None:
                    self.regain()
                    mend()
                result = action()
            except (SQLAlchemyError, StorageInternalError, SearchError) as error:
                if not _is_passing(error):
                    raise
                now = time.monotonic()
                if deadline is None:
                    deadline = now + self.seconds
                    if self.seconds:
                        self.say(
                            f"the study's database does not answer ({self._reason(error)}); trying again for "
                            f"up to {self.seconds:.0f} s"
                        )
                if now >= deadline:
                    raise
                time.sleep(min(PAUSE, deadline - now))
                self.check()
                continue
            if deadline is not None:
                self.say("the study's database answers again")
            return result

    def _reason(self, error: BaseException) -> str:
        return one_line(scrubbed(reason_of(error), self.url))


def _is_passing(error: BaseException) -> bool:
    """Return whether an error may be over in some seconds: a lost connection is, a missing table is not."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    if isinstance(error, StudyLockedError):
        return True  # after a lost connection the server may hold our own lock for a while
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, DBAPIError):
        cause = cause.__cause__
    if cause is None:
        return False
    assert isinstance(cause, DBAPIError)
    original: Any = cause.orig
    if isinstance(original, sqlite3.Error):
        # The low byte is the primary code; the others say more about it.
        return getattr(original, "sqlite_errorcode", 0) & 0xFF in _SQLITE_PASSING
    if isinstance(error, SearchError):
        return False  # it was opened for the first time: a server that is away is a wrong address then
    if cause.connection_invalidated:
        return True
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    if state is not None:
        return state in _PASSING or state[:2] in _PASSING_CLASSES
    return isinstance(cause, OperationalError | InterfaceError)
