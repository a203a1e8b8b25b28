"""Where runs are kept."""

import os
from pathlib import Path

import pytest

from records import layout
from records.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def test_resume_without_a_name_takes_the_newest_run(tmp_path: Path) -> None:
    for age, name in enumerate(("newest", "older", "oldest")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
        os.utime(tmp_path / name / "run.json", (1e9 - age, 1e9 - age))
    assert layout.locate(tmp_path, None, True, "run.json") == (tmp_path / "newest", True)
    assert layout.locate(tmp_path, "older", True, "run.json") == (tmp_path / "older", True)
    assert layout.locate(tmp_path, "older", True, "search.json") == (tmp_path / "older", False)
    assert layout.locate(tmp_path, "fresh", False, "run.json") == (tmp_path / "fresh", False)
    assert layout.newest(tmp_path, "search.json") is None
    with pytest.raises(UserError, match=r"older exists; continue it with --resume, or choose another --name"):
        layout.locate(tmp_path, "older", False, "run.json")


def test_a_new_run_without_a_name_has_its_date(tmp_path: Path) -> None:
    folder, continues = layout.locate(tmp_path, None, True, "run.json")
    assert not continues
    assert folder.name.replace("-", "").isdecimal()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--out .*file: cannot be written \(Not a directory\)"):
        layout.make(tmp_path / "file" / "run")
    assert layout.make(tmp_path / "run")
    assert not layout.make(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_a_trained_network_of_a_search_is_its_winner(tmp_path: Path) -> None:
    assert layout.network_folder(tmp_path) == tmp_path
    (tmp_path / "search.json").touch()
    assert layout.network_folder(tmp_path) == tmp_path / "best"
    assert layout.network_folder(tmp_path / "best.safetensors") == tmp_path / "best.safetensors"
