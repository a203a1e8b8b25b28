"""The lock of a study: one driver at a time, also where several run folders share a database."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from records.lock import locked
from search.errors import SearchError
from search.keep.storage import POSTGRESQL, failures, parsed_url

if TYPE_CHECKING:
    from sqlalchemy import URL

LOOK_EVERY = 10.0
"""Seconds between looks whether the hold on the study is still there."""


class StudyLockedError(SearchError):
    """Another driver holds the study."""


@dataclass
class StudyLock:
    """The hold of this driver on the study."""

    look: Callable[[], None] = lambda: None
    """Raises where the hold is lost; it really looks every `LOOK_EVERY` seconds."""
    regain: Callable[[], None] = lambda: None
    """Takes the hold again where it is lost."""


@contextmanager
def held(url: str, name: str) -> Iterator[StudyLock]:
    """Hold the study `name` for one driver.

    The lock is the server's or the system's, which let go of it however the driver ends: PostgreSQL's
    advisory lock of a session, a locked file beside a SQLite database. Other databases have no lock here.

    Raises:
        SearchError: Another driver holds it.
    """
    parsed = parsed_url(url)
    taken = StudyLockedError(
        f"--storage: another process is driving the study {name!r}; wait, or choose another --name"
    )
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        with locked(Path(f"{parsed.database}.{_key(name):x}.lock"), taken):
            yield StudyLock()
    elif parsed.get_backend_name() == "postgresql":
        with _advisory_lock(parsed, url, name, taken) as hold:
            yield hold
    else:
        yield StudyLock()


@contextmanager
def _advisory_lock(parsed: "URL", url: str, name: str, taken: SearchError) -> Iterator[StudyLock]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    engine = create_engine(parsed, poolclass=NullPool, connect_args=POSTGRESQL, isolation_level="AUTOCOMMIT")
    with failures(url, "--storage: the study cannot be opened"):
        connection = engine.connect()
    looked, ours = time.monotonic(), False

    def take() -> None:
        nonlocal ours
        ours = bool(connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _key(name)}))
        if not ours:
            raise taken

    def look() -> None:
        nonlocal looked
        if time.monotonic() - looked >= LOOK_EVERY:
            connection.execute(text("SELECT 1"))
            looked = time.monotonic()

    def regain() -> None:
        nonlocal connection, ours
        try:
            connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            ours = False  # a session's locks end with it
            with suppress(SQLAlchemyError):
                connection.close()
            connection = engine.connect()
        if not ours:
            take()

    try:
        with failures(url, "--storage: the study cannot be opened"):
            take()
        yield StudyLock(look, regain)
    finally:
        with suppress(SQLAlchemyError):
            connection.close()


def _key(name: str) -> int:
    """Return the number of a study's lock, 63 bits."""
    return int.from_bytes(sha256(f"search:{name}".encode()).digest()[:8], "big") >> 1
