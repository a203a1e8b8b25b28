"""Waiting for a database: a SQLite file that is locked, and what waiting does not mend."""

import socket
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import OperationalError

from records.stopping import Stop, Stopped
from search.errors import SearchError
from search.keep import retry as waiting
from search.keep import storage
from search.keep.retry import DatabaseRetry


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    monkeypatch.setattr(storage, "LOCKED_PATIENCE", 0.2)
    monkeypatch.setattr(waiting, "PAUSE", 0.05)
    backend = storage.reach(f"sqlite:///{tmp_path / 'study.db'}")
    return optuna.create_study(study_name="one", storage=backend)


def _locked(path: Path, seconds: float) -> threading.Thread:
    """Lock the file as a writer does, for some seconds."""
    taken = threading.Event()

    def hold() -> None:
        with sqlite3.connect(path) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            taken.set()
            threading.Event().wait(seconds)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    return thread


def _retry(said: list[str], seconds: float, **more: Any) -> DatabaseRetry:
    return DatabaseRetry("sqlite:///study.db", seconds, said.append, **more)


def test_a_locked_file_is_waited_for_with_a_notice(study: optuna.Study, tmp_path: Path) -> None:
    said: list[str] = []
    lock = _locked(tmp_path / "study.db", 1.0)
    trial = _retry(said, 30.0)(study.ask)
    lock.join()
    assert said == [
        "the study's database does not answer (database is locked); trying again for up to 30 s",
        "the study's database answers again",
    ]
    assert trial.number in [each.number for each in study.trials]


def test_a_file_that_is_locked_when_it_is_opened_is_waited_for_too(
    study: optuna.Study, tmp_path: Path
) -> None:
    said: list[str] = []
    lock = _locked(tmp_path / "study.db", 1.0)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    backend = _retry(said, 30.0)(lambda: storage.reach(url))
    lock.join()
    assert said[-1] == "the study's database answers again"
    storage.release(backend)


def test_a_server_that_was_never_there_is_not_waited_for() -> None:
    said: list[str] = []
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://search:secret@127.0.0.1:{unused.getsockname()[1]}/postgres"
        pytest.importorskip("psycopg", reason="the Python driver of PostgreSQL (psycopg) is not installed")
        with pytest.raises(SearchError, match="cannot be opened"):
            _retry(said, 30.0)(lambda: storage.reach(url))
    assert said == []


def test_a_file_that_stays_locked_ends_the_search_in_one_line(study: optuna.Study, tmp_path: Path) -> None:
    said: list[str] = []
    lock = _locked(tmp_path / "study.db", 3.0)
    with (
        pytest.raises(SearchError, match=r"^the study failed \(database is locked\)$"),
        storage.failures("sqlite:///study.db", "the study failed"),
    ):
        _retry(said, 0.5)(lambda: study.set_user_attr("key", 1))
    lock.join()
    assert len(said) == 1


def test_without_patience_the_first_failure_is_the_end(study: optuna.Study, tmp_path: Path) -> None:
    said: list[str] = []
    lock = _locked(tmp_path / "study.db", 1.0)
    with pytest.raises(StorageInternalError):
        _retry(said, 0.0)(lambda: study.set_user_attr("key", 1))
    lock.join()
    assert said == []


def _failing(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


class _AnswerError(Exception):
    """What PostgreSQL's driver raises."""

    def __init__(self, state: str | None) -> None:
        super().__init__(f"SQLSTATE {state}")
        self.sqlstate = state


@pytest.mark.parametrize(
    ("state", "passing"),
    [
        ("57P01", True),
        ("57P03", True),
        ("08006", True),
        ("40001", True),
        (None, True),
        ("42P01", False),
        ("53100", False),
    ],
    ids=["stops", "starts", "connection lost", "rolled back", "no connection", "no such table", "disk full"],
)
def test_what_may_pass_is_waited_for_and_what_cannot_is_not(
    state: str | None, passing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PAUSE", 0.05)
    said: list[str] = []
    with pytest.raises(OperationalError):
        _retry(said, 0.2)(_failing(OperationalError("SELECT 1", {}, _AnswerError(state))))
    assert len(said) == passing


def test_a_missing_table_is_not_waited_for(study: optuna.Study, tmp_path: Path) -> None:
    said: list[str] = []
    trial = study.ask()
    with sqlite3.connect(tmp_path / "study.db") as connection:
        connection.execute("DROP TABLE trial_values")
    connection.close()
    with pytest.raises(StorageInternalError):
        _retry(said, 30.0)(lambda: study.tell(trial, 0.5))
    assert said == []


def test_what_a_try_left_half_done_is_mended_before_the_next(study: optuna.Study, tmp_path: Path) -> None:
    done: list[str] = []
    lock = _locked(tmp_path / "study.db", 1.0)
    retry = _retry([], 30.0, regain=lambda: done.append("regain"))
    retry(lambda: study.set_user_attr("key", 1), lambda: done.append("mend"))
    lock.join()
    assert done[:2] == ["regain", "mend"]
    assert study.user_attrs["key"] == 1


def test_ctrl_c_twice_ends_the_waiting(study: optuna.Study, tmp_path: Path) -> None:
    stop = Stop()
    stop.now = True
    lock = _locked(tmp_path / "study.db", 2.0)
    with pytest.raises(Stopped):
        _retry([], 30.0, check=stop.check)(lambda: study.set_user_attr("key", 1))
    lock.join()
