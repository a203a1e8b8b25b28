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

from training.archives import Member, shown
from training.cache import Content, Part, Pixels
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
class Listing:
    """What lies in a folder of images, without having read it."""

    files: tuple[tuple[tuple[str, ...], Path, int], ...]
    """Parts of each file's path inside the folder, where it is, its bytes."""
    folders: tuple[tuple[str, ...], ...]
    fingerprint: str
    """sha256 of all paths, sizes and times of change."""

    @property
    def total_bytes(self) -> int:
        """How much there is to read."""
        return sum(size for _, _, size in self.files)

    def members(self) -> Iterator[Member]:
        """Read everything, in order."""
        position = 0
        for path in self.folders:
            yield Member(path, b"", 0, is_folder=True)
        for path, file, size in self.files:
            position += size
            try:
                # Only what content() decodes is worth reading.
                data = file.read_bytes() if file.suffix.lower() in SUFFIXES else b""
            except OSError as error:
                raise DataError(f"{file}: cannot be read: {error.strerror}") from error
            yield Member(path, data, position)


def listing(folder: Path) -> Listing:
    """List the train and test folders of `folder`, or of the only folder inside it that has them.

    Raises:
        DataError: A folder cannot be listed.
    """
    files, folders = [], []
    digest = sha256()
    try:
        roots = [folder] if any((folder / s).is_dir() for s in SPLITS) else _visible(folder)
        for root in (r for r in roots if r.is_dir()):
            for split in (root / s for s in SPLITS):
                for found in _below(split, depth=3) if split.is_dir() else ():
                    path = found.relative_to(folder).parts
                    if found.is_dir():
                        folders.append(path)
                        continue
                    status = found.stat()
                    files.append((path, found, status.st_size))
                    digest.update(os.fsencode("/".join(path)) + b"\0")
                    digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read: {error.strerror}") from error
    digest.update("\n".join("/".join(path) for path in folders).encode("utf-8", "surrogateescape"))
    return Listing(tuple(files), tuple(folders), digest.hexdigest())


def _below(folder: Path, depth: int) -> Iterator[Path]:
    for path in _visible(folder):
        yield path
        if depth > 1 and path.is_dir():
            yield from _below(path, depth - 1)


def _visible(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX"
    )
