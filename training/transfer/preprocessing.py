"""Preprocessing: how pretrained weights want their images; it travels with the weights.

Training, evaluation, prediction, service and export all call `Preprocessing.square`, so that one photograph
gives the same bits everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from training.errors import TrainingError

INTERPOLATIONS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
LARGEST_INPUT = 1024
_NARROW = 8
"""An image whose sides differ by more than this factor is cut before it is scaled: 1 x 40,000 pixels would
otherwise become 256 x 10,240,000."""


@dataclass(frozen=True)
class Preprocessing:
    """From a decoded photograph to the square that a backbone reads.

    Raises:
        TrainingError: A value is out of range.
    """

    input: int
    """Side of the square in pixels."""
    crop: float
    """Side of the square as a share of the scaled image's shorter side: 0.875 scales to 256 and cuts 224."""
    interpolation: str
    """"bilinear", "bicubic" or "lanczos"."""
    mean: tuple[float, float, float]
    """Per channel, 0-255: subtracted from the pixels."""
    std: tuple[float, float, float]
    """Per channel, 0-255: divided by."""

    def __post_init__(self) -> None:
        if not 8 <= self.input <= LARGEST_INPUT:
            raise TrainingError(f"input {self.input}: must be 8 to {LARGEST_INPUT} pixels")
        if not 0.1 <= self.crop <= 1:
            raise TrainingError(f"crop {self.crop}: must be 0.1 to 1, a share of the shorter side")
        if self.interpolation not in INTERPOLATIONS:
            known = ", ".join(INTERPOLATIONS)
            raise TrainingError(f"interpolation {self.interpolation!r}: must be one of {known}")
        if not all(0 <= value <= 255 for value in self.mean) or not all(
            0 < value <= 255 for value in self.std
        ):
            raise TrainingError(
                f"normalisation: mean {self.mean} and std {self.std} must lie within 0 to 255"
            )

    @property
    def scaled(self) -> int:
        """Length of the shorter side, in pixels, before the square is cut out."""
        return round(self.input / self.crop)

    @property
    def key(self) -> str:
        """Text that decides the pixels of `square`, for the key of a cache."""
        return f"{self.input}of{self.scaled}{self.interpolation}"

    def square(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Scale the shorter side, then cut the square out of the middle.

        Args:
            pixels: (H, W, 3), RGB, 0-255, turned upright.

        Returns:
            (input, input, 3), RGB, 0-255.
        """
        height, width = pixels.shape[:2]
        short = min(height, width)
        if max(height, width) > _NARROW * short:
            # The middle that remains is still wider than the square and the reach of every filter.
            top, left = max(0, (height - _NARROW * short) // 2), max(0, (width - _NARROW * short) // 2)
            pixels = pixels[top : top + _NARROW * short, left : left + _NARROW * short]
            height, width = pixels.shape[:2]
        # The longer side is rounded down, as torchvision's and timm's `Resize` do.
        size = (
            (self.scaled, int(self.scaled * height / width))
            if width <= height
            else (int(self.scaled * width / height), self.scaled)
        )
        image = Image.fromarray(pixels)
        if image.size != size:
            image = image.resize(size, INTERPOLATIONS[self.interpolation])
        left = round((size[0] - self.input) / 2)
        top = round((size[1] - self.input) / 2)
        return np.asarray(image.crop((left, top, left + self.input, top + self.input)))

    def to_json(self) -> dict[str, Any]:
        """Return plain strings and numbers."""
        return {
            "input": self.input,
            "crop": self.crop,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_json(cls, value: Any) -> Preprocessing:
        """Read what `to_json` returned.

        Raises:
            TrainingError: A key is missing, or a value is of the wrong kind or out of range.
        """
        try:
            return cls(
                int(value["input"]),
                float(value["crop"]),
                str(value["interpolation"]),
                _channels(value["mean"]),
                _channels(value["std"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise TrainingError(f"preprocessing cannot be read: {error}") from error


def fitted(
    pixels: npt.NDArray[np.uint8], image_size: tuple[int, int], preprocessing: Preprocessing | None
) -> npt.NDArray[np.uint8]:
    """Bring a decoded picture to what a network reads, as the images were that it learned from.

    `--predict` and the service, for files, uploads and addresses alike, all call this, so that one picture
    gives the same bits everywhere.

    Args:
        pixels: (H, W, 3) RGB, 0-255, turned upright, of any size.
        image_size: (height, width) that the network reads.
        preprocessing: Of pretrained weights; None: scaled to fit, as `--resize` does.

    Returns:
        (height, width, 3): as the pretrained weights want it, or scaled to fit, the longer side cut evenly.
    """
    if preprocessing is not None:
        return preprocessing.square(pixels)
    wanted = image_size[1], image_size[0]
    if (pixels.shape[1], pixels.shape[0]) == wanted:
        return pixels
    return np.asarray(ImageOps.fit(Image.fromarray(pixels), wanted, Image.Resampling.BICUBIC))


def _channels(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue
