import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from records import pictures
from training.data.archives import Member
from training.data.cache import Content
from training.data.images import content
from training.data.pictures import decode
from training.errors import DataError


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(colour: tuple[int, int, int] = (200, 30, 60), size: tuple[int, int] = (6, 4)) -> bytes:
    return encoded(Image.new("RGB", size, colour))


GOOD = {
    f"{split}/{label}/{i}.png": png((i, n, 0))
    for split in ("train", "test")
    for n, label in enumerate(("cat", "dog"))
    for i in range(3)
}


def gather(
    files: dict[str, bytes],
    tmp_path: Path,
    resize: int | None = None,
    note: Callable[[str], None] = print,
    skip_unreadable: bool = False,
) -> Content:
    """Decode members of these names; a name that ends in "/" is a folder."""

    def members() -> Iterator[Member]:
        for name, data in files.items():
            yield Member(tuple(name.strip("/").split("/")), data, 0, is_folder=name.endswith("/"))

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return content(
        Path("set.zip"),
        members(),
        resize=resize,
        skip_unreadable=skip_unreadable,
        scratch=scratch,
        at=lambda _: None,
        note=note,
    )


def stored(found: Content, split: str = "train") -> tuple[list[list[int]], list[int]]:
    """Return the first pixel of each image and the labels, in the order that the cache stores."""
    part = getattr(found, split)
    return part.images[part.order][:, 0, 0].tolist(), part.labels[part.order].tolist()


@pytest.mark.parametrize("lead", ["", "cifar10-jpeg/"], ids=["none", "one"])
def test_class_folders_become_labels_in_order_of_class_and_name(tmp_path: Path, lead: str) -> None:
    shuffled = dict(sorted(GOOD.items(), key=lambda item: hash(item[1]) % 7))
    found = gather({lead + name: data for name, data in shuffled.items()}, tmp_path)

    assert found.classes == ("cat", "dog")
    for split in ("train", "test"):
        pixels, labels = stored(found, split)
        assert labels == [0, 0, 0, 1, 1, 1]
        assert pixels == [[i, n, 0] for n in range(2) for i in range(3)]
    assert found.train.images.shape == (6, 4, 6, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an image"),
        (b"hello", "not an image"),
        (png()[:40], "."),
        (encoded(Image.effect_noise((64, 64), 50), "JPEG")[:800], "truncated"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (encoded(Image.new("F", (2, 2)), "TIFF"), "more than 16 bits"),
    ],
    ids=["empty", "text", "cut png", "cut jpeg", "postscript", "floats"],
)
def test_an_unreadable_image_is_named_with_the_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode(data)
    with pytest.raises(
        DataError, match=r"set\.zip: cannot read the image train/dog/1\.png \(.+\); repair or"
    ):
        gather(GOOD | {"train/dog/1.png": data}, tmp_path)


def test_a_bomb_of_pixels_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "LARGEST", 1000)

    with pytest.raises(
        DataError, match=r"cannot read the image train/cat/0\.png \(40x40 pixels, more than 1,000: a bomb"
    ):
        gather(GOOD | {"train/cat/0.png": png(size=(40, 40))}, tmp_path)


def test_mixed_sizes_name_two_images_and_the_way_out(tmp_path: Path) -> None:
    files = GOOD | {"test/dog/1.png": png(size=(9, 8))}

    with pytest.raises(
        DataError,
        match=r"mixed sizes: train/cat/0\.png is 6x4, test/dog/1\.png is 9x8 .*; add --resize N to bring all",
    ):
        gather(files, tmp_path)


def test_mixed_sizes_are_fine_with_resize(tmp_path: Path) -> None:
    found = gather(GOOD | {"test/dog/1.png": png(size=(9, 8))}, tmp_path, resize=5)

    assert found.train.images.shape[1:] == found.test.images.shape[1:] == (5, 5, 3)


def without(start: str) -> dict[str, bytes]:
    return {name: data for name, data in GOOD.items() if not name.startswith(start)}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, r"no class folders under train/; expected train/<class>/<image>"),
        ({"a.png": b"", "x/y.txt": b""}, r"no class folders under train/, but for example a\.png; expected"),
        (without("train"), r"no class folders under train/; expected"),
        (without("test"), r"no class folders under test/; expected"),
        (without("test/dog"), r"class dog is in train and missing from test; add test/dog/"),
        (without("train/cat"), r"class cat is in test and missing from train; add train/cat/"),
        (without("test/dog") | {"test/dog/": b""}, r"no images in test/dog/; known are \.bmp"),
        (without("train/cat") | {"train/cat/a.avif": b""}, r"no images in train/cat/; known are \.bmp"),
        (without("train/dog") | {"train/dog/": b""}, r"no images in train/dog/"),
        ({k: v for k, v in GOOD.items() if "cat" in k}, r"only one class, cat; a classifier needs two"),
        (
            GOOD | {"train/cat/deep/1.png": png()},
            r"train/cat/deep/1\.png lies deeper than train/<class>/<image>",
        ),
        (
            GOOD | {f"{split}/caf\udce9/1.png": png() for split in ("train", "test")},
            r"a class has a name that is not UTF-8; rename its folders",
        ),
        (
            GOOD | {"again/train/cat/1.png": png()},
            r"train and test folders in two places, \. and again; keep one of them",
        ),
        (
            {f"a/{k}": v for k, v in GOOD.items()} | {"b/train/cat/1.png": png()},
            r"train and test folders in two places, a and b; keep one",
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:40],
)
def test_a_wrong_layout_says_what_is_missing(tmp_path: Path, files: dict[str, bytes], reason: str) -> None:
    with pytest.raises(DataError, match=r"^set\.zip: .*" + reason):
        gather(files, tmp_path)


def test_files_that_are_no_images_are_left_out_and_told(tmp_path: Path) -> None:
    notes: list[str] = []
    files = GOOD | {
        "train/cat/notes.txt": b"x",
        "train/dog/labels.csv": b"y",
        "README.md": b"",
        "val/cat/1.png": b"",
    }

    found = gather(files, tmp_path, note=notes.append)

    assert len(found.train.labels) == 6
    assert notes == ["set.zip: left out 2 files under train that are no images, such as train/cat/notes.txt"]


def test_unreadable_images_are_left_out_and_listed_where_that_is_asked_for(tmp_path: Path) -> None:
    files = GOOD | {"train/dog/1.png": b"hello", "test/cat/2.png": b"", "train/cat/0.png": png()[:40]}
    notes: list[str] = []
    found = gather(files, tmp_path, note=notes.append, skip_unreadable=True)

    assert [each.partition(" ")[0] for each in found.unreadable] == [
        *("train/cat/0.png", "train/dog/1.png", "test/cat/2.png")
    ]
    assert found.unreadable[1] == "train/dog/1.png (not an image)"
    assert stored(found) == ([[1, 0, 0], [2, 0, 0], [0, 1, 0], [2, 1, 0]], [0, 0, 1, 1])
    assert stored(found, "test")[1] == [0, 0, 1, 1, 1]
    assert notes == [f"set.zip: left out 3 images that cannot be read, such as {found.unreadable[0]}"]


def test_a_class_of_which_nothing_can_be_read_is_an_error(tmp_path: Path) -> None:
    files = GOOD | {f"test/dog/{i}.png": b"hello" for i in range(3)}
    with pytest.raises(DataError, match=r"no images in test/dog/; none of its 3 can be read"):
        gather(files, tmp_path, skip_unreadable=True)


def published(name: str) -> str:
    """Return the place of a file of GOOD in a set as the published cats and dogs unpack."""
    split, label, image = name.split("/")
    folder = {"train": "training_set", "test": "test_set"}[split]
    return f"{folder}/{folder}/{label}s/{image}"


@pytest.mark.parametrize("lead", ["", "archive/"], ids=["bare", "in a folder"])
def test_folders_as_people_have_them(tmp_path: Path, lead: str) -> None:
    files = {lead + published(name): data for name, data in GOOD.items()}
    litter = ("test_set/_DS_Store", "test_set/test_set/_DS_Store", "test_set/test_set/cats/_DS_Store")
    notes: list[str] = []
    found = gather(files | {lead + name: b"x" for name in litter}, tmp_path, note=notes.append)

    assert found.classes == ("cats", "dogs")
    assert stored(found) == ([[i, n, 0] for n in range(2) for i in range(3)], [0, 0, 0, 1, 1, 1])
    assert len(found.test.labels) == 6
    assert len(notes) == 1
    assert "left out 1 files under test that are no images" in notes[0]


def test_a_class_folder_inside_itself_and_plurals_of_one_split(tmp_path: Path) -> None:
    files = {
        name.replace("train/cat/", "train/cats/cats/").replace("test/dog/", "test/dogs/"): data
        for name, data in GOOD.items()
    }
    found = gather(files, tmp_path)
    assert found.classes == ("cat", "dog")
    for split in ("train", "test"):
        assert stored(found, split)[1] == [0, 0, 0, 1, 1, 1]


def test_classes_that_are_plurals_of_one_another_stay_apart(tmp_path: Path) -> None:
    files = {
        f"{split}/{label}/0.png": png() for split in ("train", "test") for label in ("glass", "glasss", "a")
    }
    assert gather(files, tmp_path).classes == ("a", "glass", "glasss")


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"both train and training_set are there; keep one of them"):
        gather(GOOD | {"training_set/cat/9.png": png()}, tmp_path)
