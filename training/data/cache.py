"""Decoded data sets on disk: plain .npy files that later starts map into memory instead of decoding again.

    <cache>/<key>/train_images.npy train_labels.npy test_images.npy test_labels.npy facts.json

A folder appears whole or not at all: it is written under a temporary name beside its place and renamed. The
checksums in facts.json are read at every start, since a cache that lies would poison every figure (crc32 of
CIFAR-10's 184 MB takes about 0.1 s).
"""

import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from records.text import reason
from training.data.progress import say
from training.errors import DataError

FORMAT = 1
"""Part of every key: raise it when the same source would be decoded to other pixels."""

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Rgb = tuple[float, float, float]

_CHUNK = 4096  # images moved at a time
_BLOCK = 1 << 22  # bytes checked at a time
_ABANDONED = 24 * 3600.0  # seconds after which a temporary folder is nobody's work in progress
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Part:
    """One split as a source hands it over."""

    images: Pixels
    """(N, H, W, 3)"""
    labels: Labels
    """(N,)"""
    order: npt.NDArray[np.int64] | None = None
    """(N,) the order to store them in; None: as they are."""


@dataclass(frozen=True)
class Content:
    """A whole data set as a source hands it over."""

    classes: tuple[str, ...]
    train: Part
    test: Part
    unreadable: tuple[str, ...] = ()
    """Images that were left out, each with the reason."""


@dataclass(frozen=True)
class Facts:
    """What facts.json holds."""

    classes: tuple[str, ...]
    mean: Rgb
    """Per channel of the training images, 0-255."""
    std: Rgb
    """Per channel of the training images, 0-255, population (not sample) deviation."""
    checksums: dict[str, int]
    """crc32 of each file's bytes."""
    unreadable: tuple[str, ...] = ()
    """Images of the source that were left out, each with the reason."""


@dataclass(frozen=True)
class Cached:
    """An opened cache; the images are read-only maps of its files."""

    facts: Facts
    arrays: dict[str, npt.NDArray[Any]]


class _DamagedError(Exception):
    """A cache folder is there and cannot be trusted."""


def load_or_build(cache: Path, key: str, build: Callable[[Path], Content], console: Console) -> Cached:
    """Open the cached data set `key`, or build it first.

    Args:
        cache: Folder of all cached data sets; made where it is missing.
        key: Name of this data set's folder, which identifies its content.
        build: Function that makes the data set; its argument is an empty folder for scratch files.
        console: Console for a remark on a damaged cache.

    Raises:
        DataError: The folder cannot be written, or `build` raised it.
    """
    final = cache / key
    try:
        found = _open(final)
    except _DamagedError as damage:
        say(console, f"cache {final} is damaged ({damage}): building it again")
        found = None
    if found is not None:
        return found
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache)
        work = Path(tempfile.mkdtemp(prefix=f".{key}.", suffix=".tmp", dir=cache))
    except OSError as error:
        raise DataError(
            f"cannot write the cache {cache}: {error.strerror}; choose another with --cache"
        ) from error
    try:
        scratch, ready = work / "scratch", work / "ready"
        scratch.mkdir()
        ready.mkdir()
        _write(ready, build(scratch))
        return _install(ready, final)
    except OSError as error:
        raise DataError(
            f"cannot write the cache {final}: {error.strerror}; choose another with --cache"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(folder: Path, content: Content) -> None:
    statistics = []
    checksums = {}
    for split, part in (("train", content.train), ("test", content.test)):
        order = np.arange(len(part.labels)) if part.order is None else part.order
        sums = np.zeros((2, 3))
        header = {"descr": "|u1", "fortran_order": False, "shape": part.images.shape}
        # Written, not mapped: on a full disk a write raises, where a map kills the process (SIGBUS).
        with (folder / f"{split}_images.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, len(order), _CHUNK):
                chunk = part.images[order[start : start + _CHUNK]]
                file.write(chunk.tobytes())
                wide = chunk.reshape(-1, 3).astype(np.float64)
                sums += wide.sum(axis=0), np.square(wide).sum(axis=0)
        np.save(folder / f"{split}_labels.npy", part.labels[order].astype(np.int64))
        if split == "train":
            first, second = sums / (part.images.size / 3)
            statistics = [_rgb(first), _rgb(np.sqrt(np.maximum(second - first**2, 0)))]
    for name in _ARRAYS:
        path = folder / f"{name}.npy"
        _sync(path)
        checksums[name] = _checksum(path)
    mean, std = statistics
    facts = Facts(content.classes, mean, std, checksums, content.unreadable)
    path = folder / "facts.json"
    path.write_text(json.dumps({"facts": asdict(facts), "crc32": _seal(asdict(facts))}), encoding="utf-8")
    _sync(path)


def _install(ready: Path, final: Path) -> Cached:
    """Rename the finished folder into place; where another process was faster, use its folder."""
    for _ in range(5):
        try:
            ready.rename(final)
        except OSError:
            if not final.exists():
                raise
            try:
                found = _open(final)
            except _DamagedError:
                # Renamed away, not deleted in place: a process that has it open keeps its maps.
                with suppress(FileNotFoundError):  # another process renames it too
                    final.rename(ready.parent / f"damaged-{time.monotonic_ns()}")
                continue
            if found is not None:
                return found
        else:
            break
    for _ in range(50):
        try:
            found = _open(final)
        except _DamagedError as error:
            damage = str(error)
        else:
            if found is not None:
                return found
            damage = "it is gone"
        time.sleep(0.1)  # another process may be replacing what it found damaged
    raise DataError(f"cache {final}, just written, cannot be read back ({damage}); check the disk")


def _open(folder: Path) -> Cached | None:
    if not folder.exists():
        return None
    try:
        sealed = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        raw = sealed["facts"]
        if _seal(raw) != sealed["crc32"]:
            raise _DamagedError("facts.json has changed")
        mean, std = _rgb(raw["mean"]), _rgb(raw["std"])
        unreadable = tuple(map(str, raw.get("unreadable", ())))  # caches of earlier versions have none
        facts = Facts(tuple(map(str, raw["classes"])), mean, std, dict(raw["checksums"]), unreadable)
        arrays = {}
        for name in _ARRAYS:
            path = folder / f"{name}.npy"
            if _checksum(path) != facts.checksums[name]:
                raise _DamagedError(f"{path.name} has changed")
            arrays[name] = np.load(path, mmap_mode="r" if "images" in name else None, allow_pickle=False)
        _check(facts, arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise _DamagedError(reason(error)) from error
    return Cached(facts, arrays)


def _check(facts: Facts, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Refuse arrays and facts that do not belong together; a checksum proves only who wrote them."""
    if not np.isfinite([*facts.mean, *facts.std]).all():
        raise _DamagedError("mean or deviation is no number")
    for split in ("train", "test"):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise _DamagedError(f"{split}_images.npy holds {images.dtype} of shape {images.shape}")
        if labels.shape != images.shape[:1] or labels.dtype != np.int64:
            raise _DamagedError(f"{split}_labels.npy holds {labels.dtype} of shape {labels.shape}")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(facts.classes):
            raise _DamagedError(f"{split}_labels.npy numbers a class that is not there")


def _rgb(values: Iterable[float]) -> Rgb:
    red, green, blue = map(float, values)
    return red, green, blue


def _seal(facts: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sweep(cache: Path) -> None:
    """Remove what killed processes left behind."""
    for left in cache.glob(".*.tmp"):
        with suppress(FileNotFoundError):  # another process sweeps too
            if time.time() - left.stat().st_mtime > _ABANDONED:
                shutil.rmtree(left, ignore_errors=True)
