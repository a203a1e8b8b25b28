"""Class folders of images, in an archive or on the disk, decoded in one pass.

[anything/] train/<class>/<image>  and  [anything/] test/<class>/<image>
"""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from training.data.archives import Member, shown
from training.data.cache import Content, Part, Pixels
from training.errors import DataError

SPLITS = ("train", "test")
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
# Named one by one, since Pillow also knows formats that start other programs (EPS).
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


@dataclass
class _Gathered:
    """One split while it is read."""

    pixels: IO[bytes]
    labels: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    passed_over: list[str] = field(default_factory=list)


def decode(data: bytes, resize: int | None = None) -> Pixels:
    """Decode an image file.

    Args:
        data: The file's bytes.
        resize: Side of the square that the image is brought to: its shorter side is scaled to fit, its
            longer one cut evenly. None: left as it is.

    Returns:
        (H, W, 3) RGB; grey is repeated, transparency dropped, a camera's turn applied.

    Raises:
        ValueError: The image is unreadable; the text is the reason.
    """
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            return np.asarray(_prepared(image, resize))
    # Decoders raise whatever comes to their mind on broken files (SyntaxError, struct.error, TypeError, ...).
    except Exception as error:
        reason = "not an image" if "cannot identify" in str(error) else " ".join(str(error).split())
        raise ValueError(reason or type(error).__name__) from error


def _prepared(image: Image.Image, resize: int | None) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError("more than 16 bits a pixel; save it with 8")
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    if image.mode != "RGB":
        image = image.convert("RGB")
    if resize is not None and image.size != (resize, resize):
        image = ImageOps.fit(image, (resize, resize), Image.Resampling.BICUBIC)
    return image


def content(
    source: Path,
    members: Iterator[Member],
    *,
    resize: int | None,
    scratch: Path,
    at: Callable[[int], None],
    note: Callable[[str], None],
) -> Content:
    """Decode class folders into one array a split, images ordered by class and name.

    Args:
        source: The archive or folder, for messages.
        members: Its files and folders in any order.
        resize: See `decode`.
        scratch: An empty folder for as many bytes as the decoded images hold.
        at: Called with the position of each member.
        note: Called with a line about what was left out.

    Raises:
        DataError: An image or the layout is wrong.
    """
    first: tuple[str, tuple[int, ...]] | None = None
    lead: tuple[str, ...] | None = None
    other: str | None = None
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", UserWarning)  # remarks about metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        splits = {name: _Gathered(stack.enter_context((scratch / name).open("wb"))) for name in SPLITS}
        for member in members:
            at(member.position)
            place = _placed(member, source)
            if place is None:
                other = other or shown(member.path)
                continue
            before, split, label, name = place
            if lead not in (None, before):
                raise DataError(
                    f"{source}: train and test folders in two places, {shown(lead or ('.',))} and "
                    f"{shown(before or ('.',))}; keep one of them"
                )
            lead = before
            gathered = splits[split]
            gathered.folders.add(label)
            if not name:
                continue
            where = shown(member.path)
            if Path(name).suffix.lower() not in SUFFIXES:
                gathered.passed_over.append(where)
                continue
            try:
                pixels = decode(member.data, resize)
            except ValueError as error:
                raise DataError(
                    f"{source}: cannot read the image {where} ({error}); repair or remove it"
                ) from error
            first = first or (where, pixels.shape)
            if pixels.shape != first[1]:
                raise DataError(
                    f"{source}: images of mixed sizes: {first[0]} is {_size(first[1])}, {where} is "
                    f"{_size(pixels.shape)} (width x height); add --resize N to bring all to N x N"
                )
            gathered.pixels.write(pixels.tobytes())
            gathered.labels.append(label)
            gathered.names.append(name)
    classes = _classes(source, splits, other)
    assert first is not None
    for split, gathered in splits.items():
        if left := gathered.passed_over:
            note(
                f"{source}: left out {len(left):,} files under {split} that are no images, such as {left[0]}"
            )
    parts = {name: _part(scratch / name, splits[name], classes, first[1]) for name in SPLITS}
    return Content(classes, **parts)


def _placed(member: Member, source: Path) -> tuple[tuple[str, ...], str, str, str] | None:
    """Return (leading folder, split, class, file name or ""), None for what lies elsewhere."""
    path = member.path
    for skip in (0, 1):
        if len(path) > skip + 1 and path[skip] in SPLITS:
            before, (split, label, *rest) = path[:skip], path[skip:]
            if len(rest) == 1 and not member.is_folder:
                return before, split, label, rest[0]
            if not rest:
                return (before, split, label, "") if member.is_folder else None
            if not member.is_folder:
                raise DataError(
                    f"{source}: {shown(path)} lies deeper than {split}/<class>/<image>; move it up"
                )
            return None
    return None


def _classes(source: Path, splits: dict[str, _Gathered], other: str | None) -> tuple[str, ...]:
    """Return the classes, or say what is wrong with the folders."""
    expected = "expected train/<class>/<image> and test/<class>/<image>"
    for name in SPLITS:
        if not splits[name].folders:
            there = f", but for example {other}" if other else ""
            raise DataError(f"{source}: no class folders under {name}/{there}; {expected}")
    train, test = (splits[name].folders for name in SPLITS)
    for here, there, missing in (("train", "test", train - test), ("test", "train", test - train)):
        if missing:
            label = shown(min(missing))
            raise DataError(
                f"{source}: class {label} is in {here} and missing from {there}; add {there}/{label}/"
            )
    for name in SPLITS:
        if empty := splits[name].folders - set(splits[name].labels):
            label = shown(min(empty))
            known = " ".join(sorted(SUFFIXES))
            raise DataError(f"{source}: no images in {name}/{label}/; known are {known}")
    try:
        "".join(train).encode()  # for run.json
    except UnicodeEncodeError:
        raise DataError(f"{source}: a class has a name that is not UTF-8; rename its folders") from None
    if len(train) < 2:
        raise DataError(f"{source}: only one class, {shown(min(train))}; a classifier needs two or more")
    return tuple(sorted(train))


def _part(raw: Path, gathered: _Gathered, classes: tuple[str, ...], shape: tuple[int, ...]) -> Part:
    number = {label: n for n, label in enumerate(classes)}
    labels = np.array([number[label] for label in gathered.labels], dtype=np.int64)
    keys = sorted(range(len(labels)), key=lambda i: (gathered.labels[i], gathered.names[i]))
    images = np.memmap(raw, dtype=np.uint8, mode="r", shape=(len(labels), *shape))
    return Part(images, labels, np.array(keys, dtype=np.int64))


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


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
        if any((folder / split).is_dir() for split in SPLITS):
            roots: list[tuple[Path, tuple[str, ...]]] = [(folder, ())]
        else:
            roots = [(Path(entry.path), (entry.name,)) for entry in _visible(str(folder)) if entry.is_dir()]
        for root, path in roots:
            for split in SPLITS:
                if (root / split).is_dir():
                    walk(str(root / split), (*path, split), depth=3)
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
