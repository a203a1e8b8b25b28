"""What computes: torch, or onnxruntime where the run was exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from serve.errors import ServeError
from training.command.trained import Trained
from training.data.samples import Samples
from training.fit.evaluate import evaluate

ONNX = Path("export") / "model.onnx"
"""Within the folder of a run."""
_FACTS = ("classes", "input_size", "normalisation")
"""What the metadata of an exported model must say, as JSON, and say like the weights."""
PIXELS = "pixels"
"""The `input` of a model whose normalisation is inside (`export.onnx_file`); any other is normalised here."""


class Engine(Protocol):
    """Computes probabilities."""

    name: str

    def probabilities(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (N, classes) for (N, H, W, 3) RGB images, 0-255, of the network's own size."""


class Torch:
    """The network itself, evaluated as `train.py --predict` does.

    Args:
        trained: The network.
    """

    name = "torch"

    def __init__(self, trained: Trained) -> None:
        self._trained = trained

    def probabilities(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (N, classes); a network that answers with NaN raises."""
        trained = self._trained
        unknown = np.zeros(len(images), dtype=np.int64)
        samples = Samples(images, unknown, trained.classes, trained.mean, trained.std)
        return evaluate(trained.network, samples).probabilities


class Onnx:
    """An exported network: pixels in, or normalised images, and logits out.

    Args:
        file: The ONNX file.
        trained: The network that it was exported from.
        metadata: Of that network's weights.

    Raises:
        ServeError: It cannot be read, or its metadata is not that of the weights.
    """

    name = "onnxruntime"

    def __init__(self, file: Path, trained: Trained, metadata: dict[str, Any]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # Threads that spin take the processor from the other requests: 29 times slower beside one, measured
        # by others (onnxruntime #11841).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        # The library's exceptions have no common class of their own.
        except Exception as error:
            raise ServeError(
                f"{file} cannot be read as ONNX: {error}; export it again, or remove it"
            ) from error
        texts = self._session.get_modelmeta().custom_metadata_map
        for key in _FACTS:
            if _json(texts.get(key)) != metadata.get(key):
                raise ServeError(
                    f"{file}: {key!r} of its metadata is {texts.get(key, 'missing')}, of the weights "
                    f"{json.dumps(metadata.get(key))}; export the run again, or remove the file"
                )
        self._input = self._session.get_inputs()[0].name
        self._inside = _json(texts.get("input")) == PIXELS
        # As training.fit.device.Normalise: times 1 / std.
        self._mean = np.array(trained.mean, dtype=np.float32)
        self._scale = 1 / np.array(trained.std, dtype=np.float32)

    def probabilities(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (N, classes)."""
        pixels = images.astype(np.float32)
        if not self._inside:
            pixels = np.asarray((pixels - self._mean) * self._scale, dtype=np.float32)
        batch = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        logits: npt.NDArray[np.float32] = self._session.run(None, {self._input: batch})[0]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: npt.NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
        return shares


def _json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None
