"""Data sets by name, folder and archive: found, checked, decoded once."""

import dataclasses
import functools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests.training.data.image_folders import ROOT, colours, said, tar
from tests.training.data.image_folders import console as console
from tests.training.data.image_folders import folder as folder
from tests.training.data.image_folders import load as load
from training.data import cifar, cifar10, images, shapes
from training.data import registry as datasets
from training.data.cache import Content, Part
from training.data.registry import Dataset
from training.errors import DataError

JPEG_COPY = ROOT.parent / "shared" / "data" / "cifar10-jpeg.tar.xz"


def without_what_names_it(dataset: Dataset) -> dict[str, object]:
    left_out = {"name", "kind", "title", "fingerprint", "train", "test"}
    return {f.name: getattr(dataset, f.name) for f in dataclasses.fields(dataset) if f.name not in left_out}


def test_a_folder_is_a_data_set(folder: Path, load: Callable[..., Dataset]) -> None:
    found = load(folder)

    assert (found.name, found.kind, found.title) == ("pets", "folder", "pets (folder of images)")
    assert found.classes == ("cat", "dog")
    assert found.image_size == (6, 4)
    assert (len(found.train), len(found.test)) == (10, 4)
    assert found.train.labels.tolist() == [0] * 5 + [1] * 5
    assert np.array_equal(found.train.images, np.stack([colours(n) for n in range(10)]))
    assert np.array_equal(found.test.images, np.stack([colours(n) for n in range(10, 14)]))
    assert found.mean == pytest.approx(found.train.images.mean(axis=(0, 1, 2)))
    assert found.std == pytest.approx(found.train.images.std(axis=(0, 1, 2)))
    assert found.notice is None


@pytest.mark.parametrize(
    ("name", "mode"),
    [("s.tar", "w:"), ("s.tar.xz", "w:xz"), ("s.tar.gz", "w:gz"), ("s.tgz", "w:gz"), ("s.zip", "")],
)
def test_an_archive_is_the_same_data_set(
    folder: Path, load: Callable[..., Dataset], name: str, mode: str
) -> None:
    if mode:
        archive = tar(folder, name, mode)
    else:
        archive = Path(shutil.make_archive(str(folder.parent / "s"), "zip", folder.parent, "pets"))
    from_folder, found = load(folder), load(archive)

    assert (found.name, found.kind, found.title) == ("s", "archive", "s (archive of images)")
    assert without_what_names_it(found) == without_what_names_it(from_folder)
    for split in ("train", "test"):
        assert np.array_equal(getattr(found, split).images, getattr(from_folder, split).images)
        assert np.array_equal(getattr(found, split).labels, getattr(from_folder, split).labels)


def test_a_second_start_decodes_nothing(
    folder: Path, load: Callable[..., Dataset], console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tar(folder, "s.tar", "w:")
    first = load(archive), load(folder)
    assert said(console).splitlines() == [
        f"decoding the images of {archive}",
        f"decoding 14 images of {folder}",
    ]
    monkeypatch.setattr(images, "content", lambda *_, **__: pytest.fail("decoded again"))

    second = load(archive), load(folder)

    assert [d.fingerprint for d in first] == [d.fingerprint for d in second]
    assert isinstance(second[0].train.images, np.memmap)
    renamed = archive.rename(archive.with_name("other.tar"))
    assert load(renamed).fingerprint == first[0].fingerprint  # the content counts, not the name


def test_other_content_and_another_size_are_other_data_sets(
    folder: Path, load: Callable[..., Dataset]
) -> None:
    plain, small, smaller = load(folder), load(folder, resize=4), load(folder, resize=3)
    assert small.image_size == (4, 4)
    Image.fromarray(colours(99)).save(folder / "train" / "cat" / "0.png")
    changed = load(folder)

    assert len({d.fingerprint for d in (plain, small, smaller, changed)}) == 4
    assert np.array_equal(changed.train.images[0], colours(99))


def test_a_damaged_cache_is_decoded_again_with_a_notice(
    folder: Path, load: Callable[..., Dataset], console: Console, tmp_path: Path
) -> None:
    fingerprint = load(folder).fingerprint
    (tmp_path / "cache" / fingerprint / "train_images.npy").write_bytes(b"")

    assert np.array_equal(load(folder).train.images[0], colours(0))
    assert f"{fingerprint} is damaged" in said(console)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, known in datasets.NAMED.items():
        if known.archive is not None:
            nobody = dataclasses.replace(
                cifar10.SOURCE, title=known.title, url="http://127.0.0.1:9/none.tar.gz"
            )
            read = functools.partial(cifar.content, source=nobody)
            monkeypatch.setitem(datasets.NAMED, name, dataclasses.replace(known, content=read))


@pytest.fixture
def few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "TRAIN", 40)
    monkeypatch.setattr(shapes, "TEST", 20)


@pytest.mark.usefixtures("offline", "few_shapes")
def test_without_data_and_network_the_shapes_are_used_loudly(
    load: Callable[..., Dataset], console: Console, tmp_path: Path
) -> None:
    start = time.monotonic()
    found = load(None)

    assert time.monotonic() - start < 8
    assert (found.name, found.kind, found.title) == ("shapes", "shapes", "shapes (drawn, NOT CIFAR-10)")
    assert found.notice is not None
    assert found.notice.startswith("NOT CIFAR-10: 127.0.0.1:9 cannot be reached")
    lines = said(console).splitlines()
    assert lines[0].startswith("downloading CIFAR-10 (170 MB) from 127.0.0.1:9 to ")
    assert found.notice in lines
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("name", "archive"), [("cifar10", "cifar-10-"), ("cifar100", "cifar-100-")])
def test_a_data_set_that_was_asked_for_is_never_replaced(
    load: Callable[..., Dataset], tmp_path: Path, name: str, archive: str
) -> None:
    with pytest.raises(
        DataError,
        match=rf"--data {name}: 127.0.0.1:9 cannot be reached.*; put {archive}python\.tar\.gz into .*data",
    ):
        load(name)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.usefixtures("few_shapes")
def test_shapes_that_were_asked_for_carry_no_notice(load: Callable[..., Dataset], console: Console) -> None:
    found = load("shapes")

    assert found.notice is None
    assert found.classes == shapes.CLASSES
    assert said(console) == "drawing 60 shapes\n"
    assert load("shapes").fingerprint == found.fingerprint


def test_cifar10_is_read_once_and_needs_its_archive_no_more(
    load: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Part(np.zeros((20, 32, 32, 3), dtype=np.uint8), np.arange(20) % 10)
    made = Content(cifar10.CLASSES, part, part)
    calls = []

    def content(root: Path, console: Console) -> Content:
        calls.append(root)
        return made

    known = dataclasses.replace(datasets.NAMED["cifar10"], content=content)
    monkeypatch.setitem(datasets.NAMED, "cifar10", known)

    first, second, default = load("cifar10"), load("cifar10"), load(None)

    assert len(calls) == 1
    assert (default.name, default.kind, default.title, default.notice) == (
        "cifar10",
        "cifar10",
        "CIFAR-10",
        None,
    )
    assert first.fingerprint == second.fingerprint == default.fingerprint


def test_every_named_data_set_has_a_key_and_a_name_of_its_own() -> None:
    assert [each.name for each in datasets.NAMED.values()] == list(datasets.NAMED)
    # Keys of the caches that users have: a change would decode everything again.
    keys = {name: each.key(1) for name, each in datasets.NAMED.items()}
    assert keys == {"cifar10": "cifar10-1", "cifar100": "cifar100-1", "shapes": "shapes-1.2"}


def test_a_run_that_goes_on_names_what_was_found() -> None:
    assert datasets.kept_name("shapes", None) == "shapes"
    assert datasets.kept_name("cifar100", "cifar100") == "cifar100"
    assert datasets.kept_name("archive", "pets.zip") == "pets.zip"


def test_importing_the_data_module_stays_light() -> None:
    # Two seconds to the first image would be gone with torchvision alone.
    code = "import sys, training.data.registry; print(sorted({'torch', 'torchvision'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.skipif(not JPEG_COPY.is_file(), reason="the JPEG copy of CIFAR-10 is not beside the checkout")
def test_the_jpeg_copy_of_cifar10_is_ready_within_two_seconds_the_second_time(
    load: Callable[..., Dataset],
) -> None:
    first = load(JPEG_COPY)
    start = time.process_time()  # of this process: a busy machine must not fail the test
    second = load(JPEG_COPY)
    seconds = time.process_time() - start

    assert seconds < 2
    assert second.classes == cifar10.CLASSES
    assert np.bincount(second.train.labels).tolist() == [5000] * 10
    assert np.bincount(second.test.labels).tolist() == [1000] * 10
    # The published channel means of CIFAR-10's training set; JPEG moves them by a few hundredths.
    assert first.mean == pytest.approx([125.307, 122.961, 113.8575], abs=0.1)
    assert first.std == pytest.approx([62.9932, 62.0887, 66.7049], abs=0.6)


def test_what_was_left_out_is_in_the_cache_and_an_error_unless_asked_for(
    folder: Path, tmp_path: Path, console: Console
) -> None:
    (folder / "train" / "cat" / "2.png").write_bytes(b"hello")
    arguments = {"cache": tmp_path / "cache", "console": console}
    first = datasets.load(str(folder), skip_unreadable=True, **arguments)  # type: ignore[arg-type]
    again = datasets.load(str(folder), skip_unreadable=True, **arguments)  # type: ignore[arg-type]

    assert first.unreadable == again.unreadable == ("train/cat/2.png (not an image)",)
    assert len(again.train) == 9
    assert said(console).count("left out 1 image that cannot be read") == 1
    with pytest.raises(DataError, match=r"cannot read the image train/cat/2\.png .*--skip-unreadable leaves"):
        datasets.load(str(folder), **arguments)  # type: ignore[arg-type]
