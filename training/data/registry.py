"""Where images come from: a data set known by name, or a folder or an archive of class folders.

A new data set is written in two files: its own, with a `Named`, and one entry of `NAMED` here.
"""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from training.data import archives, cifar10, cifar100, images, shapes
from training.data import cache as store
from training.data.download import DownloadError
from training.data.listing import listing
from training.data.named import Named
from training.data.pictures import Squared
from training.data.progress import advancing, say
from training.data.splits import SPLIT_SEED, holdout, subset
from training.errors import DataError

__all__ = ["NAMED", "SPLIT_SEED", "Dataset", "Split", "holdout", "kept_name", "load", "subset"]

NAMED: dict[str, Named] = {each.name: each for each in (cifar10.DATA, cifar100.DATA, shapes.DATA)}
"""What `--data` takes by name."""
DEFAULT, STAND_IN = cifar10.DATA.name, shapes.DATA.name
"""What is loaded where nothing is named, and what replaces it where it cannot be had."""


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
    """The name of a named data set, or the archive's or folder's name without its suffix."""
    kind: str
    """The name of a named data set, "archive" or "folder"."""
    title: str
    """Name that tables and reports print."""
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
    """A remark that every screen and artefact shows: the data is not what was wanted."""
    unreadable: tuple[str, ...] = ()
    """Images that were left out because they cannot be read, each with the reason."""

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
    squared: Squared | None = None,
    skip_unreadable: bool = False,
    root: Path = Path("data"),
    console: Console | None = None,
) -> Dataset:
    """Find, check and decode a data set once; later calls map the cached pixels.

    Args:
        data: One of `NAMED`, or the path of a folder or an archive of `train/<class>/*` and `test/<class>/*`
            images. None: CIFAR-10, and where it cannot be had the drawn shapes, with a notice.
        cache: Folder of the decoded data sets.
        resize: Bring every image of a folder or archive to `resize` x `resize` pixels.
        squared: Preparation of each image of a folder or archive in place of `resize`.
        skip_unreadable: Leave out images of a folder or archive that cannot be read; `Dataset.unreadable`
            lists them.
        root: Folder of downloads.
        console: Console for the progress; standard error by default.

    Raises:
        DataError: The data set cannot be used; one line says what, where and the way out.
    """
    console = Console(stderr=True) if console is None else console
    known = NAMED.get(DEFAULT if data is None else data)
    if known is None:
        assert data is not None
        found = _images(data, Path(data), resize, squared, cache, console, skip_unreadable)
        # The cache may be of a run that left them out; what was not asked for is an error all the same.
        if found.unreadable and not skip_unreadable:
            raise images.unreadable_error(Path(data), found.unreadable[0])
        return found
    if squared is not None:
        raise DataError(
            f"--data {known.name}: pretrained weights want photographs, a folder or an archive of "
            "train/<class>/* and test/<class>/*"
        )
    if resize is not None:
        raise DataError(
            f"--resize {resize}: only for a folder or an archive; {known.name} is {known.size}x{known.size}"
        )
    try:
        return _named(known, cache, root, console)
    except DownloadError as error:
        if data is not None:
            raise DataError(f"--data {data}: {error}; put {known.archive} into {root}") from error
        notice = f"NOT {known.title}: {error}. Using the built-in drawn shapes instead."
        say(console, notice)
        return _named(NAMED[STAND_IN], cache, root, console, notice)


def kept_name(kind: str, asked: str | None) -> str | None:
    """Return what a run that is gone on with has to name: what was found, not what was asked for.

    Args:
        kind: `Dataset.kind` of the images that were found.
        asked: Value of `--data`, which is kept for a folder or an archive.
    """
    return kind if kind in NAMED else asked


def _named(known: Named, cache: Path, root: Path, console: Console, notice: str | None = None) -> Dataset:
    key = known.key(store.FORMAT)
    cached = store.load_or_build(cache, key, lambda scratch: known.content(root, console), console)
    return _dataset(cached, name=known.name, kind=known.name, title=known.title, key=key, notice=notice)


def _images(
    data: str,
    path: Path,
    resize: int | None,
    squared: Squared | None,
    cache: Path,
    console: Console,
    skip_unreadable: bool,
) -> Dataset:
    if resize is not None and resize < 1:
        raise DataError(f"--resize {resize}: must be 1 or more")
    form = f"{store.FORMAT}" if resize is None else f"{store.FORMAT}.{resize}x{resize}"
    if squared is not None:
        form = f"{store.FORMAT}.{squared.key}"
    if data and path.is_dir():
        kind, name = "folder", path.resolve().name
        found = listing(path)
        total, fingerprint = found.total_bytes, found.fingerprint
        members, what = found.members, f"{len(found.files):,} images of {path}"
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
        raise DataError(
            f"--data {data}: no such folder or archive, nor a data set known by name: {', '.join(NAMED)}"
        )

    def build(scratch: Path) -> store.Content:
        with advancing(console, f"decoding {what}", total, in_bytes=True) as advance:
            behind = 0

            def at(position: int) -> None:
                nonlocal behind
                advance(position - behind)
                behind = position

            return images.content(
                path,
                members(),
                resize=resize,
                squared=squared,
                skip_unreadable=skip_unreadable,
                scratch=scratch,
                at=at,
                note=partial(say, console),
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
        unreadable=facts.unreadable,
    )
