"""A trained network with what its weights' metadata and run.json hold about it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

import rfcalc
from records.layout import RUN, WEIGHTS, network_folder
from records.run import RunRecord
from training.command.network import arguments_of
from training.data.cache import Pixels
from training.errors import TrainingError
from training.fit.checkpoint import CheckpointError
from training.transfer.preprocessing import Preprocessing, fitted
from training.transfer.trained import load_trained, preprocessing_of


@dataclass(frozen=True)
class Trained:
    """A network that can be used."""

    file: Path
    """Where its weights came from."""
    network: nn.Module
    """In eval mode, on the CPU."""
    name: str
    classes: tuple[str, ...]
    image_size: tuple[int, int]
    """(height, width) of the images that it learned from."""
    mean: tuple[float, float, float]
    """Per channel, 0-255, of those images; so is `std`."""
    std: tuple[float, float, float]
    dataset: str
    """Title of the data set."""
    record: RunRecord | None
    """Of the run, where run.json lies beside the weights."""
    preprocessing: Preprocessing | None = None
    """How its photographs are prepared; None: scaled to fit, as `--resize` does."""

    def fitted(self, pixels: Pixels) -> Pixels:
        """Bring a decoded picture (H, W, 3) to what the network reads: (height, width, 3) of `image_size`."""
        return fitted(pixels, self.image_size, self.preprocessing)


def finished_network(path: Path) -> Path:
    """Return the folder or file of a trained network; of a search's folder, its winner's.

    Raises:
        TrainingError: The search has no winner yet.
    """
    folder = network_folder(path)
    if folder != path and not (folder / WEIGHTS).is_file():
        way_out = shlex.join(
            ["python", "-m", "search", "--resume", "--name", path.name, "--out", str(path.parent)]
        )
        raise TrainingError(
            f"{path}: this search has no winner yet; wait for its end, or continue it with {way_out}"
        )
    return folder


def open_trained(path: Path, target: str | None) -> Trained:
    """Load the network of a run, or of its weights.

    Args:
        path: The folder of a run or of a search, or a safetensors file.
        target: Builds the network where the weights have no spec; code runs only when it is named here.

    Raises:
        TrainingError: A search has no winner yet.
        CheckpointError: There are no such weights, they are damaged, of another network, or from elsewhere.
        RfcalcError: The target cannot be loaded.
        RecordError: run.json cannot be read.
    """
    path = finished_network(path)
    file = path / WEIGHTS if path.is_dir() else path
    record = RunRecord.read(file.parent / RUN) if (file.parent / RUN).is_file() else None
    arguments = arguments_of(record) if record is not None else {}
    network, metadata = load_trained(path, rfcalc.load_model(target, arguments) if target else None)
    try:
        return Trained(
            file=file,
            network=network,
            name=str(metadata["network"]),
            classes=tuple(map(str, metadata["classes"])),
            image_size=(_length(metadata["input_size"][1]), _length(metadata["input_size"][2])),
            mean=_channels(metadata["normalisation"]["mean"]),
            std=_channels(metadata["normalisation"]["std"]),
            dataset=str(metadata["dataset"]),
            record=record,
            preprocessing=preprocessing_of(metadata),
        )
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise CheckpointError(
            f"{file} does not say which classes and normalisation it was trained with ({error}); "
            "only weights that train.py or a search wrote can be used"
        ) from error


def _length(value: Any) -> int:
    if (length := int(value)) < 1:
        raise ValueError(f"an image of {length} pixels")
    return length


def _channels(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue
