"""A model that is served: loaded whole, checked against its own records and on a fixed image.

Nothing here imports torch: a process that answers with onnxruntime is a tenth of its size without it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from records.layout import RUN, network_folder
from records.run import RunRecord
from serve.engines import ONNX, Engine, Onnx
from serve.errors import ServeError
from training.data.pictures import decode
from training.transfer.preprocessing import Preprocessing, fitted

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
"""What a stranger may send: fewer than a data set, whose owner is known."""
MOST_PIXELS = 40_000_000
_ALIKE = 1e-3
"""Largest difference of a probability between the exported network and its weights, on the fixed image."""
_ROOT = Path(__file__).resolve().parents[1]


class Served(Protocol):
    """What is known of a network that answers."""

    @property
    def file(self) -> Path:
        """Of its weights."""

    @property
    def name(self) -> str:
        """As run.json has it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of the probabilities."""

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) that it reads."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Per channel of its training images, 0-255."""

    @property
    def dataset(self) -> str:
        """Title of the data set."""

    @property
    def record(self) -> RunRecord | None:
        """Of the run, where run.json lies beside the weights."""

    def fitted(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Bring a decoded picture to what the network reads."""


@dataclass(frozen=True)
class Described:
    """A network by the metadata of its weights, without the weights."""

    file: Path
    name: str
    classes: tuple[str, ...]
    image_size: tuple[int, int]
    mean: tuple[float, float, float]
    dataset: str
    record: RunRecord | None
    preprocessing: Preprocessing | None

    def fitted(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Bring a decoded picture (H, W, 3) to what the network reads."""
        return fitted(pixels, self.image_size, self.preprocessing)


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights that can be used, checked against the record beside them."""

    trained: Served
    metadata: dict[str, Any]
    version: str
    """Checksum of the weights, eight hexadecimal digits."""
    expected: npt.NDArray[np.float32]
    """(classes,) their probabilities of the fixed image."""
    engine: Engine | None
    """Torch; None where another process has loaded them."""


@dataclass(frozen=True, eq=False)
class Model:
    """A network that answers."""

    trained: Served
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


def load(path: Path, target: str | None = None, *, apart: bool = False) -> Model:
    """Load a model and check it.

    Args:
        path: The folder of a run or of a search, or a safetensors file.
        target: Builds the network where the weights have no spec.
        apart: Where the run was exported, let another process open the weights, since that needs torch.

    Raises:
        UserError: There is no such model, or its files disagree.
    """
    found = network_folder(path)
    exported = (found if found.is_dir() else found.parent) / ONNX
    if apart and exported.is_file():
        weights = _opened_apart(path, target)
    else:
        from serve.weights import open_weights

        weights = open_weights(path, target)
    if weights.engine is None or exported.is_file():
        engine: Engine = _exported(exported, weights)
    else:
        engine = weights.engine
    model = Model(weights.trained, engine, weights.version)
    check(model)
    return model


def _opened_apart(path: Path, target: str | None) -> Weights:
    """Return what a process of its own finds in the weights.

    Raises:
        ServeError: What that process says of them.
    """
    command = [sys.executable, "-m", "serve.weights", str(path), *([target] if target else [])]
    before = os.environ.get("PYTHONPATH")
    environment = os.environ | {"PYTHONPATH": f"{_ROOT}{os.pathsep}{before}" if before else str(_ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"the weights cannot be opened ({done.returncode})"]
        raise ServeError(lines[-1].removeprefix("serve: error: "))
    found = json.loads(done.stdout)
    file, metadata = Path(found["file"]), found["metadata"]
    architecture = metadata.get("architecture")
    mean = metadata["normalisation"]["mean"]
    described = Described(
        file=file,
        name=str(metadata["network"]),
        classes=tuple(map(str, metadata["classes"])),
        image_size=(int(metadata["input_size"][1]), int(metadata["input_size"][2])),
        mean=(float(mean[0]), float(mean[1]), float(mean[2])),
        dataset=str(metadata["dataset"]),
        record=RunRecord.read(file.parent / RUN) if (file.parent / RUN).is_file() else None,
        preprocessing=Preprocessing.from_json(architecture["preprocessing"]) if architecture else None,
    )
    expected = np.array(found["expected"], dtype=np.float32)
    return Weights(described, metadata, str(found["version"]), expected, None)


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


def _exported(file: Path, weights: Weights) -> Engine:
    """Return the exported network, which must answer the fixed image as the weights do.

    Raises:
        ServeError: It does not: it was exported from other weights.
    """
    engine = Onnx(file, weights.metadata)
    image = fixed_image(weights.trained.image_size)[None]
    try:
        difference = float(np.abs(engine.probabilities(image)[0] - weights.expected).max())
    # Shapes that do not fit: numpy and onnxruntime have no common class for that.
    except Exception as error:
        raise ServeError(f"{file} cannot answer an image: {error}; export the run again") from error
    if not difference <= _ALIKE:
        raise ServeError(
            f"{file} answers a fixed image otherwise than the weights ({difference:.2g} in a probability); "
            "export the run again, or remove the file"
        )
    return engine
