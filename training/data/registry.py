"""Where images come from: CIFAR-10, a folder or an archive of class folders, or the built-in shapes."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from training.data import archives, cifar10, images, shapes
from training.data import cache as store
from training.data.download import DownloadError
from training.data.progress import advancing, say
from training.data.splits import SPLIT_SEED, holdout, subset
from training.errors import DataError

__all__ = ["SPLIT_SEED", "Dataset", "Split", "holdout", "load", "subset"]


@dataclass(frozen=True)
class Split:
    """Images and their classes."""

    images: npt.NDArray[np.uint8]
    """(N, H, W, 3), mapped from disk, read-only."""
    labels: npt.NDArray[np.int64]
    """(N,) positions in `Dataset.classes`."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A data set, decoded and ready."""

    name: str
    """"cifar10", "shapes", or the archive's or folder's name without its suffix."""
    kind: str
    """"cifar10", "archive", "folder" or "shapes"."""
    title: str
    """What tables and reports print."""
    fingerprint: str
    """Key of the cache: the same key, the same pixels and labels in the same order."""
    classes: tuple[str, ...]
    train: Split
    test: Split
    mean: tuple[float, float, float]
    """Per channel of `train`, 0-255."""
    std: tuple[float, float, float]
    """Per channel of `train`, 0-255."""
    notice: str | None = None
    """What every screen and artefact has to say loudly: the data is not what was wanted."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of every image."""
        height, width = self.train.images.shape[1:3]
        return height, width


def load(
    data: str | None,
    *,
    cache: Path = Path("data/cache"),
    resize: int | None = None,
    root: Path = Path("data"),
    console: Console | None = None,
) -> Dataset:
    """Find, check and decode a data set once; later calls map the cached pixels.

    Args:
        data: None, "cifar10", "shapes", or the path of a folder or an archive of `train/<class>/*` and
            `test/<class>/*` images.
        cache: Folder of the decoded data sets.
        resize: Bring every image of a folder or archive to `resize` x `resize` pixels.
        root: Folder of downloads.
        console: Where progress is shown; standard error by default.

    Raises:
        DataError: The data set cannot be used; one line says what, where and the way out.
    """
    console = Console(stderr=True) if console is None else console
    if resize is not None and data in (None, "cifar10", "shapes"):
        raise DataError(f"--resize {resize}: only for a folder or an archive; {data or 'cifar10'} is 32x32")
    if data == "shapes":
        return _shapes(cache, console)
    if data is not None and data != "cifar10":
        return _images(data, Path(data), resize, cache, console)
    try:
        return _cifar10(cache, root, console)
    except DownloadError as error:
        if data is not None:
            raise DataError(f"--data cifar10: {error}; put {cifar10.SOURCE.filename} into {root}") from error
        notice = f"NOT CIFAR-10: {error}. Using the built-in drawn shapes instead."
        say(console, notice)
        return _shapes(cache, console, notice)


def _cifar10(cache: Path, root: Path, console: Console) -> Dataset:
    key = f"cifar10-{store.FORMAT}"
    cached = store.load_or_build(cache, key, lambda scratch: cifar10.content(root, console), console)
    return _dataset(cached, name="cifar10", kind="cifar10", title=cifar10.TITLE, key=key)


def _images(data: str, path: Path, resize: int | None, cache: Path, console: Console) -> Dataset:
    if resize is not None and resize < 1:
        raise DataError(f"--resize {resize}: must be 1 or more")
    form = f"{store.FORMAT}" if resize is None else f"{store.FORMAT}.{resize}x{resize}"
    if data and path.is_dir():
        kind, name = "folder", path.resolve().name
        listing = images.listing(path)
        total, fingerprint = listing.total_bytes, listing.fingerprint
        members, what = listing.members, f"{len(listing.files):,} images of {path}"
    elif path.is_file():
        suffix = archives.suffix_of(path)
        if suffix is None:
            known = " ".join(archives.SUFFIXES)
            raise DataError(f"--data {data}: not an archive by its name; known are {known}")
        kind, name = "archive", path.name[: -len(suffix)]
        total, fingerprint = path.stat().st_size, _sha256(path)
        if total == 0:
            raise DataError(f"{path}: the archive is empty (0 bytes); get it again")
        members, what = partial(archives.members, path), f"the images of {path}"
    else:
        raise DataError(f"--data {data}: no such folder or archive (and neither cifar10 nor shapes)")

    def build(scratch: Path) -> store.Content:
        with advancing(console, f"decoding {what}", total, in_bytes=True) as advance:
            behind = 0

            def at(position: int) -> None:
                nonlocal behind
                advance(position - behind)
                behind = position

            return images.content(
                path, members(), resize=resize, scratch=scratch, at=at, note=partial(say, console)
            )

    key = f"{kind}-{fingerprint[:24]}-{form}"
    cached = store.load_or_build(cache, key, build, console)
    return _dataset(cached, name=name, kind=kind, title=f"{name} ({kind} of images)", key=key)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _shapes(cache: Path, console: Console, notice: str | None = None) -> Dataset:
    key = f"shapes-{store.FORMAT}.{shapes.VERSION}"
    cached = store.load_or_build(cache, key, lambda scratch: shapes.content(console), console)
    return _dataset(cached, name="shapes", kind="shapes", title=shapes.TITLE, key=key, notice=notice)


def _dataset(
    cached: store.Cached, *, name: str, kind: str, title: str, key: str, notice: str | None = None
) -> Dataset:
    arrays, facts = cached.arrays, cached.facts
    return Dataset(
        name=name,
        kind=kind,
        title=title,
        fingerprint=key,
        classes=facts.classes,
        train=Split(arrays["train_images"], arrays["train_labels"]),
        test=Split(arrays["test_images"], arrays["test_labels"]),
        mean=facts.mean,
        std=facts.std,
        notice=notice,
    )
