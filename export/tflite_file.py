"""TFLite in float32 by litert-torch: the file that LiteRT and TensorFlow Lite Micro run."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from export.errors import ExportError
from export.images import Pixels
from export.onnx_file import Logits
from export.subject import Normalised, Subject


def write_tflite(subject: Subject, path: Path) -> None:
    """Write the network for one image: pixels (1, H, W, 3), RGB, 0-255, float32, to logits (1, classes).

    Args:
        subject: The network.
        path: The file.

    Raises:
        ExportError: litert-torch cannot convert the network.
    """
    import litert_torch

    _, height, width = subject.input_size
    try:
        with _quiet():
            # TFLite's own order of the axes, so that no runtime transposes images.
            module = litert_torch.to_channel_last_io(Normalised(subject).eval(), args=[0])
            litert_torch.convert(module.eval(), (torch.zeros(1, height, width, 3),)).export(str(path))
    # The exceptions of the converter and of torch.export have no common class.
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(f"{subject.name}: litert-torch cannot convert it: {first}") from error


def run_tflite(path: Path, images: Pixels) -> Logits:
    """Return the logits (N, classes) of the written file, image by image, by LiteRT on one thread.

    Args:
        path: The file.
        images: (N, H, W, 3)
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for image in images:
        interpreter.set_tensor(given["index"], image[None].astype(np.float32))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(result["index"])[0])
    return np.stack(rows)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converter's progress off the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
