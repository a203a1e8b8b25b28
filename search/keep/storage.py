"""Where the study is kept: reaching it, holding it for one driver, and never showing its password."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from records.layout import is_locked, locked
from search.errors import SearchError

if TYPE_CHECKING:
    import optuna
    from sqlalchemy import URL

PATIENCE = 10
"""Seconds to wait for a database server that does not answer."""
LOCKED_PATIENCE = 60
"""Seconds to wait for a SQLite file that somebody else reads or writes, a dashboard for instance."""
LOOK_EVERY = 10.0
"""Seconds between looks whether the hold on the study is still there."""
HIDDEN = "***"


def hidden(url: str) -> str:
    """Return the URL with its password masked; what is not a URL is masked as a whole."""
    try:
        parsed = _parsed(url)
    except SearchError:
        return HIDDEN
    query = {key: HIDDEN if "pass" in key else value for key, value in parsed.query.items()}
    return parsed.set(query=query).render_as_string(hide_password=True)


def needs_password(url: str) -> bool:
    """Tell whether the URL is one that `hidden` took the password from."""
    return HIDDEN in url


def scrubbed(text: str, url: str | None) -> str:
    """Return `text` without the URL and its password."""
    if url is None:
        return text
    text = text.replace(url, hidden(url))
    with suppress(SearchError):
        parsed = _parsed(url)
        secrets = [parsed.password, *(value for key, value in parsed.query.items() if "pass" in key)]
        for secret in {str(each) for each in secrets if each}:
            for form in (secret, quote(secret, safe=""), quote_plus(secret)):
                text = text.replace(form, HIDDEN)
    return text


def reach(url: str) -> RDBStorage:
    """Open the database, and create Optuna's tables where there are none.

    Raises:
        SearchError: It cannot be reached, refuses, or its driver is not installed.
    """
    parsed = _parsed(url)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if parsed.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": LOCKED_PATIENCE}
    elif parsed.get_backend_name() == "postgresql":
        options["connect_args"] = _POSTGRESQL
    with failures(url, "--storage: the study cannot be opened"):
        # Optuna's parameter wants the whole URL: `str` would mask the password.
        return RDBStorage(parsed.render_as_string(hide_password=False), engine_kwargs=options)


def release(backend: RDBStorage) -> None:
    """Close the connections to the database."""
    backend.remove_session()
    backend.engine.dispose()


_POSTGRESQL = {
    "connect_timeout": PATIENCE,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "client_encoding": "utf8",  # a server of encoding SQL_ASCII would answer in bytes
}


@contextmanager
def failures(url: str | None, what: str) -> Iterator[None]:
    """Turn what a database throws into a SearchError of one line, `what` and the reason."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError, ImportError) as error:
        raise SearchError(f"{what} ({scrubbed(_reason(error), url)})") from error


@contextmanager
def held(url: str, name: str) -> Iterator[Callable[[], None]]:
    """Hold the study `name` for one driver; yield a function that raises when the hold is lost.

    The lock is the server's or the system's, which let go of it however the driver ends: PostgreSQL's
    advisory lock of a session, a locked file beside a SQLite database. Other databases have no lock here.

    Raises:
        SearchError: Another driver holds it.
    """
    parsed = _parsed(url)
    taken = SearchError(
        f"--storage: another process is driving the study {name!r}; wait, or choose another --name"
    )
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        with locked_file(Path(f"{parsed.database}.{_key(name):x}.lock"), taken):
            yield lambda: None
    elif parsed.get_backend_name() == "postgresql":
        with _advisory_lock(parsed, url, name, taken) as look:
            yield look
    else:
        yield lambda: None


@contextmanager
def locked_file(path: Path, taken: SearchError) -> Iterator[None]:
    """Lock a file; the system lets go of the lock however the process ends.

    Raises:
        SearchError: `taken`, where another process holds it.
    """
    with locked(path, taken):
        yield


def claim(study: "optuna.Study", folder: Path, has_records: bool) -> None:
    """Refuse a study that another folder drives: its trials are not in this one.

    Args:
        study: The study.
        folder: The run folder of the driver.
        has_records: Whether the folder holds records of trials; then it was moved, and takes its study along.

    Raises:
        SearchError: The study belongs to another folder.
    """
    ours = f"{socket.gethostname()}:{folder.resolve()}"
    theirs = study.user_attrs.get("folder")
    trials = len(study.get_trials(deepcopy=False))
    if trials and theirs != ours and not has_records:
        raise SearchError(
            f"--storage: it holds a study {study.study_name!r} of {trials} trials already, which belongs to "
            f"{theirs or 'something else'}; choose another --name"
        )
    if theirs != ours:
        study.set_user_attr("folder", ours)


@contextmanager
def _advisory_lock(parsed: "URL", url: str, name: str, taken: SearchError) -> Iterator[Callable[[], None]]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    engine = create_engine(parsed, poolclass=NullPool, connect_args=_POSTGRESQL, isolation_level="AUTOCOMMIT")
    lost = "--storage: the connection to the database was lost; --resume continues"
    looked = time.monotonic()
    with failures(url, "--storage: the study cannot be opened"):
        connection = engine.connect()
    try:
        with failures(url, lost):
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _key(name)}):
                raise taken

        def look() -> None:
            nonlocal looked
            if time.monotonic() - looked >= LOOK_EVERY:
                looked = time.monotonic()
                with failures(url, lost):
                    connection.execute(text("SELECT 1"))

        yield look
    finally:
        from sqlalchemy.exc import SQLAlchemyError

        with suppress(SQLAlchemyError):
            connection.close()


def _parsed(url: str) -> "URL":
    """Return the URL with the driver that is installed where it names none."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The text is not repeated: a password may stand in it.
        raise SearchError(
            "--storage: not a database URL; expected for example postgresql://user:password@host/database"
        ) from None
    plain = parsed.drivername in ("postgres", "postgresql")
    if plain and (find_spec("psycopg") or not find_spec("psycopg2")):
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed


def _key(name: str) -> int:
    """Return the number of a study's lock, 63 bits."""
    return int.from_bytes(sha256(f"search:{name}".encode()).digest()[:8], "big") >> 1


def _reason(error: BaseException) -> str:
    """Return what went wrong in one line; the cause says it better than Optuna's wrapper does."""
    if isinstance(error, ImportError):
        return "its Python driver is not installed; for PostgreSQL: pip install 'psycopg[binary]'"
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    # libpq says at length which addresses it tried; the first line that holds a word is enough.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def is_held(path: Path) -> bool:
    """Tell whether some process holds the lock of `locked_file`, that is, a driver is at work."""
    return is_locked(path)
