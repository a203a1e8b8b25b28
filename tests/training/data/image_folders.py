"""A small folder of images, and its reading with a console that is kept, for the tests of data sets."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from training.data import registry as datasets
from training.data.cache import Pixels
from training.data.registry import Dataset

ROOT = Path(__file__).resolve().parents[3]


def colours(number: int) -> Pixels:
    return np.random.default_rng(number).integers(0, 256, (6, 4, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`pets/{train,test}/{cat,dog}/N.png`, images numbered through."""
    number = 0
    for split, n in (("train", 5), ("test", 2)):
        for label in ("cat", "dog"):
            inside = tmp_path / "pets" / split / label
            inside.mkdir(parents=True)
            for i in range(n):
                Image.fromarray(colours(number)).save(inside / f"{i}.png")
                number += 1
    return tmp_path / "pets"


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setenv("no_proxy", "*")
    return Console(file=io.StringIO(), width=300)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def load(tmp_path: Path, console: Console) -> Callable[..., Dataset]:
    """`datasets.load` with everything below `tmp_path`."""

    def loaded(data: str | Path | None, resize: int | None = None) -> Dataset:
        cache, root = tmp_path / "cache", tmp_path / "data"
        name = None if data is None else str(data)
        return datasets.load(name, cache=cache, resize=resize, root=root, console=console)

    return loaded


def tar(folder: Path, name: str, mode: str) -> Path:
    path = folder.parent / name
    with tarfile.open(path, mode) as packed:  # type: ignore[call-overload]
        packed.add(folder, arcname=folder.name)
    return path
