"""What lies in a folder of images on the disk, found without reading the files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from training.data.archives import Member
from training.data.images import SPLIT_OF
from training.data.pictures import SUFFIXES
from training.errors import DataError


@dataclass(frozen=True)
class File:
    """A file below a folder of images."""

    path: tuple[str, ...]
    """Parts of its path inside the folder."""
    where: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Listing:
    """What lies in a folder of images, without having read it."""

    files: tuple[File, ...]
    folders: tuple[tuple[str, ...], ...]

    @property
    def total_bytes(self) -> int:
        """How much there is to read."""
        return sum(file.size for file in self.files)

    @property
    def fingerprint(self) -> str:
        """sha256 of all paths, sizes and times of change."""
        digest = sha256()
        for file in self.files:
            digest.update(os.fsencode("/".join(file.path)) + f"\0{file.size} {file.mtime_ns}\n".encode())
        for path in self.folders:
            digest.update(os.fsencode("/".join(path)) + b"/\n")
        return digest.hexdigest()

    def members(self) -> Iterator[Member]:
        """Read everything, in order."""
        position = 0
        for path in self.folders:
            yield Member(path, b"", 0, is_folder=True)
        for file in self.files:
            position += file.size
            where = Path(file.where)
            try:
                # Only what content() decodes is worth reading.
                data = where.read_bytes() if where.suffix.lower() in SUFFIXES else b""
            except OSError as error:
                raise DataError(f"{where}: cannot be read: {error.strerror}") from error
            yield Member(file.path, data, position)


def listing(folder: Path) -> Listing:
    """List the train and test folders of `folder`, or of the folders inside it that have them.

    Raises:
        DataError: A folder cannot be listed, or a link leads nowhere.
    """
    files: list[File] = []
    folders: list[tuple[str, ...]] = []

    def walk(place: str, path: tuple[str, ...], depth: int) -> None:
        for entry in _visible(place):
            inside = (*path, entry.name)
            if entry.is_dir():
                folders.append(inside)
                if depth > 1:
                    walk(entry.path, inside, depth - 1)
            else:
                status = entry.stat()
                files.append(File(inside, entry.path, status.st_size, status.st_mtime_ns))

    try:
        if any((folder / split).is_dir() for split in SPLIT_OF):
            roots: list[tuple[Path, tuple[str, ...]]] = [(folder, ())]
        else:
            roots = [(Path(entry.path), (entry.name,)) for entry in _visible(str(folder)) if entry.is_dir()]
        for root, path in roots:
            for split in SPLIT_OF:
                if (root / split).is_dir():
                    # A doubled folder (test_set/test_set) takes one level more.
                    levels = 4 if (root / split / split).is_dir() else 3
                    walk(str(root / split), (*path, split), depth=levels)
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error
    return Listing(tuple(files), tuple(folders))


def _visible(folder: str) -> list[os.DirEntry[str]]:
    # scandir and not Path.iterdir: sixty thousand files have to be listed in a fraction of a second.
    with os.scandir(folder) as entries:
        shown_ones = [
            entry for entry in entries if not entry.name.startswith(".") and entry.name != "__MACOSX"
        ]
    return sorted(shown_ones, key=lambda entry: entry.name)
