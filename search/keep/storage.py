"""Where the study is kept: reaching it, and never showing its password."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from search.errors import SearchError

if TYPE_CHECKING:
    import optuna
    from sqlalchemy import URL

PATIENCE = 10
"""Seconds to wait for a database server that does not answer."""
LOCKED_PATIENCE = 5
"""Seconds that SQLite itself waits for a file that somebody else reads or writes, a dashboard for instance.
Whoever drives the study tries again after it, with a notice (`search.keep.retry`)."""
HIDDEN = "***"


def hidden(url: str) -> str:
    """Return the URL with its password masked; what is not a URL is masked as a whole."""
    try:
        parsed = parsed_url(url)
    except SearchError:
        return HIDDEN
    query = {key: HIDDEN if "pass" in key else value for key, value in parsed.query.items()}
    return parsed.set(query=query).render_as_string(hide_password=True)


def needs_password(url: str) -> bool:
    """Return whether the URL is one that `hidden` took the password from."""
    return HIDDEN in url


def scrubbed(text: str, url: str | None) -> str:
    """Return `text` without the URL and its password."""
    if url is None:
        return text
    text = text.replace(url, hidden(url))
    with suppress(SearchError):
        parsed = parsed_url(url)
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
    parsed = parsed_url(url)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if parsed.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": LOCKED_PATIENCE}
    elif parsed.get_backend_name() == "postgresql":
        options["connect_args"] = POSTGRESQL
    with failures(url, "--storage: the study cannot be opened"):
        # Optuna's parameter wants the whole URL: `str` would mask the password.
        return RDBStorage(parsed.render_as_string(hide_password=False), engine_kwargs=options)


def release(backend: RDBStorage) -> None:
    """Close the connections to the database."""
    backend.remove_session()
    backend.engine.dispose()


POSTGRESQL = {
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
        raise SearchError(f"{what} ({scrubbed(reason_of(error), url)})") from error


def claim_for_folder(study: "optuna.Study", folder: Path, has_records: bool) -> None:
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


def parsed_url(url: str) -> "URL":
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


def reason_of(error: BaseException) -> str:
    """Return what went wrong in one line; the cause names it, Optuna's wrapper does not."""
    if isinstance(error, ImportError):
        return "its Python driver is not installed; for PostgreSQL: pip install 'psycopg[binary]'"
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    # libpq lists every address that it tried; the first line that is not empty is enough.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
