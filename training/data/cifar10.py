"""CIFAR-10, from its own server or from where torchvision has put it."""

import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from training.data import archives
from training.data.cache import Content, Labels, Part, Pixels
from training.data.download import download
from training.data.progress import advancing, say
from training.errors import DataError

TITLE = "CIFAR-10"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIZE = 32
_PER_BATCH = 10_000


@dataclass(frozen=True)
class Source:
    """Where CIFAR-10 is and how to know it; a test compares it with `torchvision.datasets.CIFAR10`.

    The archive for Python, because it is the one that torchvision fetches: one download serves both. It holds
    pickles; they are read only after their checksums were right, by an unpickler that knows arrays alone.
    """

    url: str = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    filename: str = "cifar-10-python.tar.gz"
    md5: str = "c58f30108f718f92721af3b95e74349a"
    size: int = 170_498_071
    folder: str = "cifar-10-batches-py"
    train: tuple[tuple[str, str], ...] = (
        ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
        ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
        ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
        ("data_batch_4", "634d18415352ddfa80567beed471001a"),
        ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
    )
    test: tuple[tuple[str, str], ...] = (("test_batch", "40351d587109b95175f43aff81a1287e"),)

    @property
    def checksums(self) -> dict[str, str]:
        """The md5 of every batch by its name."""
        return dict(self.train + self.test)


SOURCE = Source()


def content(root: Path, console: Console, source: Source = SOURCE) -> Content:
    """Read CIFAR-10 from `root`, downloading it first where it is missing.

    Looks for torchvision's unpacked folder, then for the archive, and believes neither without its checksum.

    Raises:
        DownloadError: It is not there and cannot be had.
        DataError: `root` cannot be written.
    """
    folder, archive = root / source.folder, root / source.filename
    if all((folder / name).is_file() for name in source.checksums):
        damaged = [name for name, md5 in source.checksums.items() if _md5(folder / name) != md5]
        if not damaged:
            return _content(_from_folder(folder, source), source, folder, console)
        say(console, f"{folder / damaged[0]} has not the checksum of {TITLE}: not used")
    if archive.is_file() and _md5(archive) != source.md5:
        say(console, f"{archive} has not the checksum of {TITLE}: downloading it again")
        archive_is_good = False
    else:
        archive_is_good = archive.is_file()
    if not archive_is_good:
        download(source.url, archive, md5=source.md5, size=source.size, what=TITLE, console=console)
    return _content(_from_archive(archive, source), source, archive, console)


def _from_folder(folder: Path, source: Source) -> Iterator[tuple[str, bytes]]:
    for name in source.checksums:
        yield name, (folder / name).read_bytes()


def _from_archive(archive: Path, source: Source) -> Iterator[tuple[str, bytes]]:
    for member in archives.members(archive):
        folder, *rest = member.path
        if (
            folder == source.folder
            and len(rest) == 1
            and rest[0] in source.checksums
            and not member.is_folder
        ):
            yield rest[0], member.data


def _content(batches: Iterator[tuple[str, bytes]], source: Source, where: Path, console: Console) -> Content:
    parts = {}
    names = {"train": [name for name, _ in source.train], "test": [name for name, _ in source.test]}
    for split, of_split in names.items():
        n = len(of_split) * _PER_BATCH
        parts[split] = Part(np.empty((n, SIZE, SIZE, 3), dtype=np.uint8), np.empty(n, dtype=np.int64))
    missing = set(source.checksums)
    with advancing(console, f"reading {TITLE} from {where}", len(missing)) as advance:
        for name, data in batches:
            if hashlib.md5(data, usedforsecurity=False).hexdigest() != source.checksums[name]:
                raise DataError(
                    f"{where}: {name} has not the checksum of {TITLE}; remove {where} and run again"
                )
            split = "train" if name in names["train"] else "test"
            start = names[split].index(name) * _PER_BATCH
            images, labels = batch(data)
            parts[split].images[start : start + _PER_BATCH] = images
            parts[split].labels[start : start + _PER_BATCH] = labels
            missing.discard(name)
            advance(1)
    if missing:
        raise DataError(f"{where}: {min(missing)} is missing; remove {where} and run again")
    return Content(CLASSES, parts["train"], parts["test"])


def batch(data: bytes) -> tuple[Pixels, Labels]:
    """Read one batch file of the archive for Python.

    Returns:
        Images (10000, 32, 32, 3) and labels (10000,).

    Raises:
        DataError: The pickle asks for more than arrays, or holds something else.
    """
    try:
        found = _ArrayUnpickler(BytesIO(data), encoding="bytes").load()
        flat, labels = np.asarray(found[b"data"]), np.asarray(found[b"labels"], dtype=np.int64)
    # A pickle that is none fails in many ways.
    except Exception as error:
        raise DataError(f"not a batch of {TITLE}: {' '.join(str(error).split())}") from error
    if flat.shape != (_PER_BATCH, 3 * SIZE * SIZE) or flat.dtype != np.uint8 or labels.shape != (_PER_BATCH,):
        raise DataError(f"not a batch of {TITLE}: images {flat.dtype} {flat.shape}, labels {labels.shape}")
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise DataError(f"not a batch of {TITLE}: labels from {labels.min()} to {labels.max()}")
    return flat.reshape(-1, 3, SIZE, SIZE).transpose(0, 2, 3, 1), labels  # planes to pixels


_RECONSTRUCT = np.empty(0).__reduce__()[0]  # under the name it has in this release of NumPy
_ARRAY_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Knows the three names that an array needs, and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ARRAY_NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def _md5(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
