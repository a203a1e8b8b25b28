import hashlib
import io
import pickle
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from training.data import cifar, cifar10, cifar100
from training.data.cifar import Source, batch
from training.data.download import DownloadError
from training.errors import DataError

BATCHES = ("data_batch_1", "data_batch_2", "test_batch")


def pickled(value: Any) -> bytes:
    """Write plain values and uint8 arrays as Python 2 did: the real batches are its pickles."""
    return pickle.PROTO + b"\x02" + python2(value) + pickle.STOP


def python2(value: Any) -> bytes:
    if isinstance(value, int):
        return pickle.BININT + value.to_bytes(4, "little", signed=True)
    if isinstance(value, str | bytes):
        data = value.encode("latin1") if isinstance(value, str) else value
        return pickle.BINSTRING + len(data).to_bytes(4, "little") + data
    if value is None:
        return pickle.NONE
    if isinstance(value, tuple | list):
        close = pickle.TUPLE if isinstance(value, tuple) else pickle.LIST
        return pickle.MARK + b"".join(map(python2, value)) + close
    if isinstance(value, dict):
        return pickle.MARK + b"".join(python2(item) for pair in value.items() for item in pair) + pickle.DICT
    # As ndarray.__reduce__ and dtype.__reduce__ give it, under the module names of Python 2's NumPy.
    dtype = b"cnumpy\ndtype\n" + python2(("u1", 0, 1)) + pickle.REDUCE
    dtype += python2((3, "|", None, None, None, -1, -1, 0)) + pickle.BUILD
    array = b"cnumpy.core.multiarray\n_reconstruct\n" + pickle.MARK + b"cnumpy\nndarray\n"
    array += python2((0,)) + python2("b") + pickle.TUPLE + pickle.REDUCE
    state = (
        pickle.MARK + python2(1) + python2(value.shape) + dtype + pickle.NEWFALSE + python2(value.tobytes())
    )
    return array + state + pickle.TUPLE + pickle.BUILD


def planes(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return (10000, 3072): red, green and blue planes of 32x32, as the batches hold them."""
    return np.random.default_rng(number).integers(0, 256, (10_000, 3072), dtype=np.uint8)


def labels(number: int) -> list[int]:
    return [(i + number) % 10 for i in range(10_000)]


@dataclass(frozen=True)
class Made:
    """A CIFAR-10 of three batches, made by the test."""

    files: dict[str, bytes]
    archive: bytes
    source: Source

    def unpack(self, root: Path) -> Path:
        folder = root / self.source.folder
        folder.mkdir(parents=True)
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        return folder


@pytest.fixture(scope="module")
def made() -> Made:
    files = {}
    for number, name in enumerate(BATCHES):
        entry = {
            "batch_label": "batch",
            "labels": labels(number),
            "data": planes(number),
            "filenames": ["a.png"],
        }
        files[name] = pickled(entry)
    files["batches.meta"] = pickled({"label_names": ["airplane"]})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=0) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    md5 = {name: hashlib.md5(files[name]).hexdigest() for name in BATCHES}
    archive = packed.getvalue()
    source = replace(
        cifar10.SOURCE,
        url="http://127.0.0.1:9/cifar-10-python.tar.gz",  # nobody answers at the discard port
        md5=hashlib.md5(archive).hexdigest(),
        size=len(archive),
        train=(("data_batch_1", md5["data_batch_1"]), ("data_batch_2", md5["data_batch_2"])),
        test=(("test_batch", md5["test_batch"]),),
        train_images=20_000,
    )
    return Made(files, archive, source)


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setenv("no_proxy", "*")
    return Console(file=io.StringIO(), width=300)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(("module", "name"), [(cifar10, "CIFAR10"), (cifar100, "CIFAR100")])
def test_the_source_is_that_of_torchvision(module: Any, name: str) -> None:
    import torchvision.datasets

    theirs = getattr(torchvision.datasets, name)
    source = module.SOURCE
    assert source.url == theirs.url
    assert source.filename == theirs.filename
    assert source.md5 == theirs.tgz_md5
    assert source.folder == theirs.base_folder
    assert [list(pair) for pair in source.train] == theirs.train_list
    assert [list(pair) for pair in source.test] == theirs.test_list


def test_the_classes_of_cifar100_are_a_hundred_in_the_order_of_their_labels() -> None:
    """The labels of the archive number the names in alphabetical order."""
    assert len(set(cifar100.CLASSES)) == 100
    assert list(cifar100.CLASSES) == sorted(cifar100.CLASSES)
    assert cifar100.CLASSES[53] == "orange"


def test_the_archive_gives_the_images_in_torchvisions_order(
    tmp_path: Path, made: Made, console: Console
) -> None:
    (tmp_path / made.source.filename).write_bytes(made.archive)

    found = cifar.content(tmp_path, console, made.source)

    assert found.classes[:2] == ("airplane", "automobile")
    assert found.train.images.shape == (20_000, 32, 32, 3)
    assert found.train.labels.tolist() == labels(0) + labels(1)
    assert found.test.labels.tolist() == labels(2)
    # As in torchvision: vstack, reshape to planes, then channels last.
    expected = np.vstack([planes(0), planes(1)]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    assert np.array_equal(found.train.images, expected)
    assert list(tmp_path.iterdir()) == [tmp_path / made.source.filename]  # nothing was unpacked


def test_torchvisions_own_reader_agrees(tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    made.unpack(tmp_path)
    monkeypatch.setattr(CIFAR10, "train_list", [list(pair) for pair in made.source.train])
    monkeypatch.setattr(CIFAR10, "test_list", [list(pair) for pair in made.source.test])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": None})
    theirs = CIFAR10(str(tmp_path), train=False)

    ours, targets = batch(made.files["test_batch"], made.source, 10_000)
    assert np.array_equal(theirs.data, ours)
    assert theirs.targets == targets.tolist()


def test_torchvisions_unpacked_folder_is_used(tmp_path: Path, made: Made, console: Console) -> None:
    made.unpack(tmp_path)

    found = cifar.content(tmp_path, console, made.source)

    assert found.train.labels.tolist() == labels(0) + labels(1)
    assert "downloading" not in said(console)


def test_a_folder_with_a_wrong_checksum_is_not_used(tmp_path: Path, made: Made, console: Console) -> None:
    folder = made.unpack(tmp_path)
    (folder / "data_batch_2").write_bytes(made.files["data_batch_1"])
    (tmp_path / made.source.filename).write_bytes(made.archive)

    found = cifar.content(tmp_path, console, made.source)

    assert "data_batch_2 has not the checksum of CIFAR-10: not used" in said(console)
    assert found.train.labels.tolist() == labels(0) + labels(1)


def test_a_damaged_archive_is_not_opened_but_downloaded_again(
    tmp_path: Path, made: Made, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / made.source.filename
    archive.write_bytes(made.archive[:-1] + b"!")
    monkeypatch.setattr(cifar, "_from_archive", lambda *_: pytest.fail("opened"))

    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9 cannot be reached"):
        cifar.content(tmp_path, console, made.source)
    assert "cifar-10-python.tar.gz has not the checksum of CIFAR-10: downloading it again" in said(console)


def test_a_batch_inside_with_a_wrong_checksum_is_not_unpickled(
    tmp_path: Path, made: Made, console: Console
) -> None:
    (tmp_path / made.source.filename).write_bytes(made.archive)
    source = replace(made.source, test=(("test_batch", "0" * 32),))

    with pytest.raises(
        DataError, match=r"test_batch has not the checksum of CIFAR-10; remove .* and run again"
    ):
        cifar.content(tmp_path, console, source)


def test_an_archive_without_a_batch_names_it(tmp_path: Path, made: Made, console: Console) -> None:
    (tmp_path / made.source.filename).write_bytes(made.archive)
    source = replace(made.source, test=(("other_batch", "0" * 32),))

    with pytest.raises(DataError, match="other_batch is missing"):
        cifar.content(tmp_path, console, source)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1/0",)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pickle.dumps(Evil()), r"it asks for builtins\.eval"),
        (pickle.dumps({b"data": Path()}), "it asks for pathlib"),
        (b"", "not a batch of CIFAR-10"),
        (b"hello", "not a batch"),
        (pickle.dumps([1]), "not a batch"),
        (
            pickle.dumps({b"data": planes(0)[:5], b"labels": [0] * 5}),
            r"images uint8 \(5, 3072\), labels \(5,\)",
        ),
        (pickle.dumps({b"data": planes(0), b"labels": [0] * 9_999 + [10]}), "labels from 0 to 10"),
        (pickle.dumps({b"data": planes(0), b"labels": [-1] * 10_000}), "labels from -1 to -1"),
    ],
    ids=["eval", "a class", "empty", "text", "a list", "too few", "label 10", "label -1"],
)
def test_a_pickle_that_holds_more_or_less_than_a_batch_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        batch(data, cifar10.SOURCE, 10_000)


def test_cifar100_is_read_by_its_fine_labels(tmp_path: Path, console: Console) -> None:
    fine = [(7 * i) % 100 for i in range(10_000)]
    entries = {
        name: {
            "filenames": ["a.png"],
            "batch_label": "batch",
            "fine_labels": fine,
            "coarse_labels": [0] * 10_000,
            "data": planes(number),
        }
        for number, name in enumerate(("train", "test"))
    }
    files = {name: pickled(entry) for name, entry in entries.items()}
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    source = replace(
        cifar100.SOURCE,
        url="http://127.0.0.1:9/none",
        train=(("train", hashlib.md5(files["train"]).hexdigest()),),
        test=(("test", hashlib.md5(files["test"]).hexdigest()),),
        train_images=10_000,
    )

    found = cifar.content(tmp_path, console, source)

    assert found.classes == cifar100.CLASSES
    assert found.train.labels.tolist() == fine
    assert np.array_equal(found.test.images, planes(1).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    with pytest.raises(DataError, match="not a batch of CIFAR-10: b'labels'"):
        batch(files["test"], cifar10.SOURCE, 10_000)
