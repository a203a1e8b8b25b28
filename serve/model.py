"""A model that is served: loaded whole, checked against its own records and on a fixed image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serve.engines import ONNX, Engine, Onnx, Torch
from serve.errors import ServeError
from training.command.trained import Trained, open_trained
from training.data.pictures import decode
from training.fit.checkpoint import load_weights
from training.fit.runfolder import weights_metadata
from training.fit.weights import fingerprint

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
"""What a stranger may send: fewer than a data set, whose owner is known."""
MOST_PIXELS = 40_000_000
_ALIKE = 1e-3
"""Largest difference of a probability between the exported network and its weights, on the fixed image."""


@dataclass(frozen=True, eq=False)
class Model:
    """A network that answers."""

    trained: Trained
    engine: Engine
    version: str
    """Checksum of the weights, eight hexadecimal digits."""

    def prepare(self, data: bytes) -> npt.NDArray[np.uint8]:
        """Decode the bytes of a picture and bring it to what the network reads.

        Files, uploads and addresses all come through here, and `--predict` through the same two functions.

        Raises:
            PictureError: It is no picture that is read.
        """
        return self.trained.fitted(decode(data, formats=FORMATS, largest=MOST_PIXELS))

    def probabilities(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (N, classes) for (N, H, W, 3) images of the network's own size."""
        return self.engine.probabilities(images)

    @property
    def facts(self) -> dict[str, Any]:
        """What the page and `/v1/model` show."""
        trained, record = self.trained, self.trained.record
        return {
            "name": trained.name,
            "version": self.version,
            "engine": self.engine.name,
            "classes": list(trained.classes),
            "input_size": [3, *trained.image_size],
            "dataset": trained.dataset,
            "params": None if record is None else record.params,
            "macs": None if record is None else record.macs,
            "receptive_field": None if record is None else list(record.receptive_field),
            "val_accuracy": None if record is None else record.val_accuracy,
            "test_accuracy": None if record is None else record.test_accuracy,
        }


def load(path: Path, target: str | None = None) -> Model:
    """Load a model and check it.

    Args:
        path: The folder of a run or of a search, or a safetensors file.
        target: Builds the network where the weights have no spec.

    Raises:
        UserError: There is no such model, or its files disagree.
    """
    trained = open_trained(path, target)
    _, metadata = load_weights(trained.file)
    _agree(trained, metadata)
    engine: Engine = Torch(trained)
    exported = trained.file.parent / ONNX
    if exported.is_file():
        engine = _exported(exported, trained, metadata)
    model = Model(trained, engine, f"{fingerprint(trained.network):08x}")
    check(model)
    return model


def fixed_image(size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the image (height, width, 3) that every model is tried on: slopes of three directions."""
    height, width = size
    down, right = np.mgrid[0:height, 0:width]
    shares = (down / height, right / width, (down + right) / (height + width))
    return np.stack([share * 255 for share in shares], axis=-1).astype(np.uint8)


def check(model: Model) -> npt.NDArray[np.float32]:
    """Return the probabilities of the fixed image.

    Raises:
        ServeError: They are no probabilities.
        TrainingError: They are NaN.
    """
    row: npt.NDArray[np.float32] = model.probabilities(fixed_image(model.trained.image_size)[None])[0]
    total = float(row.sum())
    if row.shape != (len(model.trained.classes),) or not abs(total - 1) < 1e-3 or bool((row < 0).any()):
        raise ServeError(
            f"{model.trained.file}: {len(row)} probabilities of a fixed image that sum to {total:.4g}; take "
            "other weights"
        )
    return row


def _agree(trained: Trained, metadata: dict[str, Any]) -> None:
    """Refuse weights whose metadata is not what run.json beside them says.

    Raises:
        ServeError: They disagree: one of the files is of another run.
    """
    record = trained.record
    if record is None:
        return
    expected = json.loads(json.dumps(weights_metadata(record)))
    # An evaluation that came later adds the test accuracy to run.json alone.
    expected.pop("test_accuracy", None)
    for key, value in expected.items():
        if metadata.get(key) != value:
            raise ServeError(
                f"{trained.file.parent}: {key!r} is {_short(metadata.get(key))} in {trained.file.name} and "
                f"{_short(value)} in run.json; the files are of different runs, copy one run whole"
            )
    params = sum(parameter.numel() for parameter in trained.network.parameters())
    if params != record.params:
        raise ServeError(
            f"{trained.file.parent}: {trained.file.name} holds {params:,} parameters, run.json says "
            f"{record.params:,}; the files are of different runs, copy one run whole"
        )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _exported(file: Path, trained: Trained, metadata: dict[str, Any]) -> Engine:
    """Return the exported network, which must answer the fixed image as the weights do.

    Raises:
        ServeError: It does not: it was exported from other weights.
    """
    engine = Onnx(file, trained, metadata)
    image = fixed_image(trained.image_size)[None]
    try:
        difference = float(np.abs(engine.probabilities(image) - Torch(trained).probabilities(image)).max())
    # Shapes that do not fit: numpy and onnxruntime have no common class for that.
    except Exception as error:
        raise ServeError(f"{file} cannot answer an image: {error}; export the run again") from error
    if not difference <= _ALIKE:
        raise ServeError(
            f"{file} answers a fixed image otherwise than the weights ({difference:.2g} in a probability); "
            "export the run again, or remove the file"
        )
    return engine
