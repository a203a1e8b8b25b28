"""Preprocessing against torchvision's own transforms, the independent oracle."""

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from training.errors import TrainingError
from training.transfer.preprocessing import Preprocessing

MEAN, STD = (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)


def photograph(width: int, height: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(width)).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("input", "crop"), [(224, 0.875), (244, 0.875), (32, 1.0), (65, 0.9)], ids=["224", "244", "whole", "odd"]
)
@pytest.mark.parametrize("size", [(300, 200), (200, 301), (33, 50), (224, 224)], ids=str)
def test_it_is_the_resize_and_centre_crop_of_torchvision(size, input, crop, interpolation):
    pixels = photograph(*size)
    mine = Preprocessing(input, crop, interpolation, MEAN, STD)
    theirs = v2.Compose(
        [v2.Resize(round(input / crop), InterpolationMode(interpolation)), v2.CenterCrop(input)]
    )
    assert np.array_equal(mine.square(pixels), np.asarray(theirs(Image.fromarray(pixels))))


@pytest.mark.parametrize("size", [(40_000, 1), (1, 40_000), (2, 900)], ids=str)
def test_a_strip_of_pixels_takes_no_more_memory_than_a_photograph(size):
    largest = 0
    resize = Image.Image.resize

    def noted(image, size, *rest):
        nonlocal largest
        largest = max(largest, size[0] * size[1])
        return resize(image, size, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "resize", noted)
        assert Preprocessing(224, 0.875, "bicubic", MEAN, STD).square(photograph(*size)).shape == (
            224,
            224,
            3,
        )
    assert 0 < largest <= 256 * 256 * 8


def test_json_gives_the_same_preprocessing_back():
    one = Preprocessing(224, 224 / 232, "bilinear", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    assert Preprocessing.from_json(one.to_json()) == one


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"input": 5}, "input 5: must be 8 to 1024"),
        ({"input": 10**9}, "must be 8 to 1024"),
        ({"crop": 0.0}, "crop 0.0: must be 0.1 to 1"),
        ({"crop": float("nan")}, "crop nan"),
        ({"interpolation": "nearest"}, "must be one of bilinear, bicubic, lanczos"),
        ({"std": [0, 1, 1]}, "normalisation"),
        ({"mean": [0, 1]}, "cannot be read"),
        ({"mean": None}, "cannot be read"),
        ({"input": float("inf")}, "cannot be read"),
    ],
    ids=str,
)
def test_values_out_of_range_are_one_line(change, says):
    value = Preprocessing(224, 0.875, "bicubic", MEAN, STD).to_json() | change
    with pytest.raises(TrainingError, match=says):
        Preprocessing.from_json(value)


def test_what_is_no_object_is_one_line():
    with pytest.raises(TrainingError, match="cannot be read"):
        Preprocessing.from_json([1, 2])
