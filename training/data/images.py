"""Class folders of images, decoded in one pass, whether they come from an archive or from the disk.

[anything/] train/<class>/<image>  and  [anything/] test/<class>/<image>

The forms that people have them in are read as well: `training_set` and `test_set`, a folder inside a folder
of the same name, and `cats` in one split beside `cat` in the other.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from records.pictures import PictureError
from records.text import plural
from training.data.archives import Member, shown
from training.data.cache import Content, Part
from training.data.pictures import SUFFIXES, Squared, decode
from training.errors import DataError

SPLITS = ("train", "test")
SPLIT_OF = {"train": "train", "training_set": "train", "test": "test", "test_set": "test"}
"""Split of each folder name that is taken for one; published sets use the longer names."""


@dataclass
class _Gathered:
    """One split while it is read."""

    pixels: IO[bytes]
    labels: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    passed_over: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Images that were left out because they cannot be read, each with the reason."""


def content(
    source: Path,
    members: Iterator[Member],
    *,
    resize: int | None,
    squared: Squared | None = None,
    skip_unreadable: bool = False,
    scratch: Path,
    at: Callable[[int], None],
    note: Callable[[str], None],
) -> Content:
    """Decode class folders into one array a split, images ordered by class and name.

    Args:
        source: The archive or folder, for messages.
        members: Files and folders of the source, in any order.
        resize: See `decode`.
        squared: Preparation of each image in place of `resize`.
        skip_unreadable: Leave out images that cannot be read, and list them; otherwise the first is an error.
        scratch: An empty folder for as many bytes as the decoded images hold.
        at: Function called with the position of each member.
        note: Function called with a line about what was left out.

    Raises:
        DataError: An image or the layout is wrong.
    """
    first: tuple[str, tuple[int, ...]] | None = None
    lead: tuple[str, ...] | None = None
    written: dict[str, str] = {}
    other: str | None = None
    with ExitStack() as stack:
        splits = {name: _Gathered(stack.enter_context((scratch / name).open("wb"))) for name in SPLITS}
        for member in members:
            at(member.position)
            place = _placed(member, source)
            if place is None:
                other = other or shown(member.path)
                continue
            before, spelling, label, name = place
            split = SPLIT_OF[spelling]
            if written.setdefault(split, spelling) != spelling:
                raise DataError(f"{source}: both {written[split]} and {spelling} are there; keep one of them")
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
                if squared is not None:
                    pixels = squared.square(pixels)
            except PictureError as error:
                if not skip_unreadable:
                    raise unreadable_error(source, f"{where} ({error})") from error
                gathered.unreadable.append(f"{where} ({error})")
                continue
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
    unreadable = tuple(each for gathered in splits.values() for each in sorted(gathered.unreadable))
    if unreadable:
        left_out = plural(len(unreadable), "image")
        note(f"{source}: left out {left_out} that cannot be read, such as {unreadable[0]}")
    parts = {name: _part(scratch / name, splits[name], classes, first[1]) for name in SPLITS}
    return Content(classes, **parts, unreadable=unreadable)


def unreadable_error(source: Path, image: str) -> DataError:
    """Return the error of an image that cannot be read; `image` is its path with the reason."""
    return DataError(
        f"{source}: cannot read the image {image}; repair or remove it "
        "(train.py --skip-unreadable leaves out every such image)"
    )


def _placed(member: Member, source: Path) -> tuple[tuple[str, ...], str, str, str] | None:
    """Return (leading folder, split folder, class, file name or ""), None for what lies elsewhere."""
    path = member.path
    for skip in (0, 1):
        if len(path) > skip + 1 and path[skip] in SPLIT_OF:
            before, split, inside = path[:skip], path[skip], path[skip + 1 :]
            if inside[0] == path[skip]:  # training_set/training_set/cats, as archives of archives unpack
                inside = inside[1:]
            if not inside:
                return None
            label, *rest = inside
            if len(rest) > 1 and rest[0] == label:  # cats/cats/1.jpg
                rest = rest[1:]
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
    _unite_plurals(splits)
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
            inside = [each for each in splits[name].unreadable if f"/{label}/" in each]
            reason = f"none of its {len(inside)} can be read" if inside else f"known are {known}"
            raise DataError(f"{source}: no images in {name}/{label}/; {reason}")
    try:
        "".join(train).encode()  # for run.json
    except UnicodeEncodeError:
        raise DataError(f"{source}: a class has a name that is not UTF-8; rename its folders") from None
    if len(train) < 2:
        raise DataError(f"{source}: only one class, {shown(min(train))}; a classifier needs two or more")
    return tuple(sorted(train))


def _unite_plurals(splits: dict[str, _Gathered]) -> None:
    """Give `cats` of one split the name of `cat` in the other, where neither has both."""
    train, test = (splits[name].folders for name in SPLITS)
    for label in sorted((train - test) | (test - train)):
        if (many := f"{label}s") in train ^ test and (label in train) != (many in train):
            gathered = splits["train"] if many in train else splits["test"]
            gathered.folders.remove(many)
            gathered.folders.add(label)
            gathered.labels = [label if each == many else each for each in gathered.labels]


def _part(raw: Path, gathered: _Gathered, classes: tuple[str, ...], shape: tuple[int, ...]) -> Part:
    number = {label: n for n, label in enumerate(classes)}
    labels = np.array([number[label] for label in gathered.labels], dtype=np.int64)
    keys = sorted(range(len(labels)), key=lambda i: (gathered.labels[i], gathered.names[i]))
    images = np.memmap(raw, dtype=np.uint8, mode="r", shape=(len(labels), *shape))
    return Part(images, labels, np.array(keys, dtype=np.int64))


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
