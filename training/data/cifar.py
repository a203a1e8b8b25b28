"""CIFAR's archives for Python, from their own server or from where torchvision has put them.

They hold pickles, because they are the ones that torchvision fetches: one download serves both. The pickles
are read only after their checksums were right, by an unpickler that knows arrays alone.
"""

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

SIZE = 32
"""Height and width of every image."""


@dataclass(frozen=True)
class Source:
    """A data set of this kind: where it is and how to know it."""

    title: str
    classes: tuple[str, ...]
    """Names in the order of the labels."""
    labels: str
    """The key of a batch that holds them."""
    url: str
    filename: str
    md5: str
    """Checksum of the archive."""
    size: int
    """Size of the archive in bytes."""
    folder: str
    """Inside the archive, and where torchvision unpacks it."""
    train: tuple[tuple[str, str], ...]
    """Name and md5 of each batch of the training images; every batch holds as many."""
    test: tuple[tuple[str, str], ...]
    train_images: int
    test_images: int

    @property
    def checksums(self) -> dict[str, str]:
        """The md5 of every batch by its name."""
        return dict(self.train + self.test)


def content(root: Path, console: Console, source: Source) -> Content:
    """Read `source` from the folder `root`, downloading it first where it is missing.

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
        say(console, f"{folder / damaged[0]} has not the checksum of {source.title}: not used")
    if archive.is_file() and _md5(archive) != source.md5:
        say(console, f"{archive} has not the checksum of {source.title}: downloading it again")
        archive_is_good = False
    else:
        archive_is_good = archive.is_file()
    if not archive_is_good:
        download(source.url, archive, md5=source.md5, size=source.size, what=source.title, console=console)
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
    names = {"train": [name for name, _ in source.train], "test": [name for name, _ in source.test]}
    each = {"train": source.train_images // len(source.train), "test": source.test_images // len(source.test)}
    parts = {}
    for split, of_split in names.items():
        n = len(of_split) * each[split]
        parts[split] = Part(np.empty((n, SIZE, SIZE, 3), dtype=np.uint8), np.empty(n, dtype=np.int64))
    missing = set(source.checksums)
    with advancing(console, f"reading {source.title} from {where}", len(missing)) as advance:
        for name, data in batches:
            if hashlib.md5(data, usedforsecurity=False).hexdigest() != source.checksums[name]:
                raise DataError(
                    f"{where}: {name} has not the checksum of {source.title}; remove {where} and run again"
                )
            split = "train" if name in names["train"] else "test"
            start = names[split].index(name) * each[split]
            images, labels = batch(data, source, each[split])
            parts[split].images[start : start + each[split]] = images
            parts[split].labels[start : start + each[split]] = labels
            missing.discard(name)
            advance(1)
    if missing:
        raise DataError(f"{where}: {min(missing)} is missing; remove {where} and run again")
    return Content(source.classes, parts["train"], parts["test"])


def batch(data: bytes, source: Source, count: int) -> tuple[Pixels, Labels]:
    """Read one batch file of the archive for Python.

    Args:
        data: Its bytes.
        source: Names the key of the labels, and the classes.
        count: Images that the batch must hold.

    Returns:
        Images (count, 32, 32, 3) and labels (count,).

    Raises:
        DataError: The pickle asks for more than arrays, or holds something else.
    """
    what = f"not a batch of {source.title}"
    try:
        found = _ArrayUnpickler(BytesIO(data), encoding="bytes").load()
        flat = np.asarray(found[b"data"])
        labels = np.asarray(found[source.labels.encode()], dtype=np.int64)
    # A pickle that is none fails in many ways.
    except Exception as error:
        raise DataError(f"{what}: {' '.join(str(error).split())}") from error
    if flat.shape != (count, 3 * SIZE * SIZE) or flat.dtype != np.uint8 or labels.shape != (count,):
        raise DataError(f"{what}: images {flat.dtype} {flat.shape}, labels {labels.shape}")
    if labels.min() < 0 or labels.max() >= len(source.classes):
        raise DataError(f"{what}: labels from {labels.min()} to {labels.max()}")
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
