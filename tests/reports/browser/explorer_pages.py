"""The explorer of two examples, for the tests in a browser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from reports.pages.explorer_page import explorer_page

Show = Callable[..., Any]


EXAMPLE = str(Path(__file__).resolve().parents[3] / "examples" / "c1c2c3c4.py")


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explorer")
    pixels = numpy.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=numpy.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    path = folder / "rf.html"
    path.write_text(explorer_page(EXAMPLE, (3, 32, 32), folder / "photo.png"), encoding="utf-8")
    return path


DECODER = str(Path(EXAMPLE).with_name("decoder.py"))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("decoder") / "rf.html"
    path.write_text(explorer_page(DECODER, (3, 32, 32), images=1), encoding="utf-8")
    return path
