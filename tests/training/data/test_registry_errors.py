"""Data sets that cannot be used: each is one line that says what, where and the way out."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.data.image_folders import console as console
from tests.training.data.image_folders import folder as folder
from tests.training.data.image_folders import load as load
from tests.training.data.image_folders import tar
from training.data import download
from training.data.registry import Dataset
from training.errors import DataError, TrainingError


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (Path.unlink, r"--data .*s\.tar\.xz: no such folder or archive"),
        (empty, r"s\.tar\.xz: the archive is empty \(0 bytes\); get it again"),
        (cut, r"s\.tar\.xz: truncated or damaged"),
    ],
)
def test_a_missing_empty_or_truncated_archive_leaves_nothing(
    folder: Path, load: Callable[..., Dataset], tmp_path: Path, harm: Callable[[Path], None], reason: str
) -> None:
    archive = tar(folder, "s.tar.xz", "w:xz")
    harm(archive)

    with pytest.raises(DataError, match=reason) as caught:
        load(archive)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists() or list((tmp_path / "cache").iterdir()) == []


def test_an_empty_zip_says_what_was_expected(load: Callable[..., Dataset], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w"):
        pass

    with pytest.raises(
        DataError, match=r"s\.zip: no class folders under train/; expected train/<class>/<image>"
    ):
        load(tmp_path / "s.zip")


def test_an_empty_folder_says_what_was_expected(load: Callable[..., Dataset], tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()

    with pytest.raises(DataError, match=r"none: no class folders under train/; expected"):
        load(tmp_path / "none")


def test_an_archive_of_unknown_kind_names_the_known(load: Callable[..., Dataset], tmp_path: Path) -> None:
    (tmp_path / "s.rar").write_bytes(b"x")

    with pytest.raises(
        DataError, match=r"not an archive by its name; known are \.tar \.tar\.xz \.tar\.gz \.tgz \.zip"
    ):
        load(tmp_path / "s.rar")


@pytest.mark.parametrize("word", ["imagenet", "CIFAR", "", "no/such/folder"])
def test_an_unknown_word_is_an_error(load: Callable[..., Dataset], word: str) -> None:
    with pytest.raises(
        DataError, match="no such folder or archive, nor a data set known by name: cifar10, cifar100, shapes"
    ):
        load(word)


@pytest.mark.parametrize("resize", [0, -3])
def test_a_resize_below_one_is_an_error(folder: Path, load: Callable[..., Dataset], resize: int) -> None:
    with pytest.raises(DataError, match=rf"--resize {resize}: must be"):
        load(folder, resize=resize)


@pytest.mark.parametrize("data", ["cifar10", "cifar100", "shapes", None])
def test_resize_is_for_folders_and_archives(load: Callable[..., Dataset], data: str | None) -> None:
    with pytest.raises(DataError, match=r"--resize 64: only for a folder or an archive; \w+ is 32x32"):
        load(data, resize=64)


def test_the_errors_are_training_errors() -> None:
    assert issubclass(DataError, TrainingError)
    assert issubclass(download.DownloadError, DataError)
