"""Trained networks from disk, pretrained backbones among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from training.errors import TrainingError
from training.fit.checkpoint import CheckpointError
from training.fit.weights import NoSpecError, load_network
from training.transfer.architecture import Architecture
from training.transfer.preprocessing import Preprocessing

ARCHITECTURE = "architecture"
"""Key of the metadata of weights that have one."""


def load_trained(path: Path, model: nn.Module | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """Do what `training.fit.weights.load_network` does, for networks with a pretrained backbone as well.

    A pretrained network is built from a table of known libraries and names; nothing that the file names is
    imported by path.

    Raises:
        CheckpointError: As of `load_network`; or the architecture cannot be built.
    """
    try:
        return load_network(path, model)
    except NoSpecError as error:
        if (described := error.metadata.get(ARCHITECTURE)) is None:
            raise
        try:
            return load_network(path, Architecture.from_json(described).build())
        except CheckpointError:
            raise
        except TrainingError as wrong:
            raise CheckpointError(f"{path}: its network cannot be built: {wrong}") from wrong


def preprocessing_of(metadata: dict[str, Any]) -> Preprocessing | None:
    """Return how the weights want their images prepared; None: scaled to fit, as `--resize` does."""
    described = metadata.get(ARCHITECTURE)
    return None if described is None else Architecture.from_json(described).preprocessing
