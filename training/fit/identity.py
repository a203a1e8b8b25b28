"""Whether a checkpoint is of the run that wants to go on from it."""

from __future__ import annotations

import dataclasses
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from training.data.samples import Samples
from training.fit.checkpoint import CheckpointError
from training.fit.recipe import SETTLED, Recipe
from training.fit.weights import fingerprint

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""The part of a network's text that differs from process to process."""
_NEWER = ("architecture", "normalisation")
"""Parts that older checkpoints lack, which is not held against them."""


def identity_of(
    model: nn.Module, train: Samples, seed: int, teacher: nn.Module | None = None
) -> dict[str, Any]:
    """Return what must be equal for a checkpoint to be of the same run."""
    taught = {} if teacher is None else {"teacher": fingerprint(teacher)}
    images = 0
    for piece in train.pieces():
        images = zlib.crc32(np.ascontiguousarray(piece).data, images)
    # Checksums, not the things themselves: a checkpoint must not grow with the data set.
    return {
        "network": {name: list(value.shape) for name, value in model.state_dict().items()},
        "architecture": zlib.crc32(_ADDRESS.sub("", repr(model)).encode()),
        "training images": [len(train), images, zlib.crc32(np.ascontiguousarray(train.labels).data)],
        "classes": list(train.classes),
        "normalisation": [[float(value) for value in each] for each in (train.mean, train.std)],
        "seed": seed,
        **taught,
    }


def same_run(
    saved: dict[str, Any], found: Recipe, identity: dict[str, Any], recipe: Recipe, path: Path
) -> None:
    """Check that a checkpoint is of the run that wants to go on from it.

    Args:
        saved: Identity that the checkpoint holds.
        found: Recipe that the checkpoint holds, in which "auto" is settled.
        identity: Identity of the run.
        recipe: Recipe of the run.
        path: The checkpoint, for messages.

    Raises:
        CheckpointError: The checkpoint is of another network, data set, seed or recipe.
    """
    advice = "resume with what it began with, or start anew under another name"
    for what, value in identity.items():
        if what not in saved:
            if what in _NEWER:
                continue
            raise CheckpointError(f"{path} lacks {what!r}: it is not a checkpoint of a training run")
        if saved[what] != value:
            shown = f" ({saved[what]}, not {value})" if what == "seed" else ""
            raise CheckpointError(f"{path} was written by a run with another {what}{shown}; {advice}")
    for field in dataclasses.fields(Recipe):
        asked, kept = getattr(recipe, field.name), getattr(found, field.name)
        if asked != kept and not (asked == "auto" and field.name in SETTLED):
            raise CheckpointError(
                f"{path} was written with {field.name}={kept!r} and not {asked!r}; {advice}"
            )
