"""Where the study is kept: no password leaks, one driver at a time."""

from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError

from search.errors import SearchError
from search.keep import storage, study_lock

URL = "postgresql://ann:s%40cret@db.example/nas?sslmode=require"


def test_a_password_is_masked_wherever_the_url_carries_it() -> None:
    assert storage.hidden(URL) == "postgresql+psycopg://ann:***@db.example/nas?sslmode=require"
    assert "hunter2" not in storage.hidden("postgresql://host/nas?user=ann&password=hunter2")
    assert storage.hidden("sqlite:////runs/study.db") == "sqlite:////runs/study.db"
    assert storage.hidden("not a url with s@cret") == "***"
    assert storage.needs_password(storage.hidden(URL))
    assert not storage.needs_password("sqlite:////runs/study.db")


@pytest.mark.parametrize("form", [URL, "s@cret", "s%40cret"])
def test_messages_are_scrubbed_of_every_form_of_the_password(form: str) -> None:
    text = storage.scrubbed(f"FATAL: no entry for {form}, sorry", URL)
    assert "cret" not in text
    assert text.startswith("FATAL: no entry for ")


def test_what_is_no_url_is_refused_without_being_repeated() -> None:
    with pytest.raises(SearchError, match="--storage: not a database URL; expected for example") as error:
        storage.reach("ann:s@cret at db.example")
    assert "cret" not in str(error.value)


def test_a_missing_driver_is_named() -> None:
    with pytest.raises(SearchError, match=r"its Python driver is not installed") as error:
        storage.reach("postgresql+pg8000://ann:secret@db.example/nas")
    assert "secret" not in str(error.value)


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("this is not a database, but long enough to be read as one " * 40)
    with pytest.raises(SearchError, match=r"--storage: the study cannot be opened .*not a database") as error:
        storage.reach(f"sqlite:///{tmp_path / 'study.db'}")
    assert "\n" not in str(error.value)


def _commit_on_a_full_disk() -> None:
    with storage.failures(None, "the study failed"):
        try:
            raise OSError("database or disk is full")
        except OSError as cause:
            raise StorageInternalError("An exception is raised during the commit.\nMore.") from cause


def test_a_failure_shows_its_cause_in_one_line() -> None:
    with pytest.raises(SearchError, match=r"^the study failed \(database or disk is full\)$"):
        _commit_on_a_full_disk()


def test_a_sqlite_study_has_one_driver(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    with study_lock.held(url, "one"):
        with (
            pytest.raises(SearchError, match="another process is driving the study 'one'"),
            study_lock.held(url, "one"),
        ):
            pass
        with study_lock.held(url, "two"):  # another study in the same file
            pass
    with study_lock.held(url, "one"):  # let go of
        pass


def test_a_study_of_another_folder_is_refused_unless_the_folder_was_moved(tmp_path: Path) -> None:
    study = optuna.create_study(study_name="one")
    storage.claim_for_folder(study, tmp_path / "here", has_records=False)  # a new study is anybody's
    study.ask()
    storage.claim_for_folder(study, tmp_path / "here", has_records=False)
    with pytest.raises(SearchError, match=r"a study 'one' of 1 trials already, which belongs to .*/here"):
        storage.claim_for_folder(study, tmp_path / "there", has_records=False)
    storage.claim_for_folder(study, tmp_path / "there", has_records=True)
    storage.claim_for_folder(study, tmp_path / "there", has_records=False)
