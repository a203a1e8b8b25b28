"""A trained network with what its weights' metadata and run.json hold about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

import rfcalc
from records.layout import RUN, WEIGHTS, network_folder
from records.run import RunRecord
from training.fit.checkpoint import CheckpointError
from training.fit.weights import load_network


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


def open_trained(path: Path, target: str | None) -> Trained:
    """Load the network of a run, or of its weights.

    Args:
        path: The folder of a run or of a search, or a safetensors file.
        target: Builds the network where the weights have no spec; code runs only when it is named here.

    Raises:
        CheckpointError: There are no such weights, they are damaged, of another network, or from elsewhere.
        RfcalcError: The target cannot be loaded.
        RecordError: run.json cannot be read.
    """
    path = network_folder(path)
    file = path / WEIGHTS if path.is_dir() else path
    network, metadata = load_network(path, rfcalc.load_model(target) if target else None)
    record = RunRecord.read(file.parent / RUN) if (file.parent / RUN).is_file() else None
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
