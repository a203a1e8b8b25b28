"""ONNX in int8: static quantisation, with QuantizeLinear and DequantizeLinear around each operator."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.errors import ExportError
from export.images import Pixels
from export.onnx_file import fed, metadata
from export.subject import Subject

_COMPARED = 16
"""Images on which the error of each layer is measured, at most."""
_COMPARED_PIXELS = 2**18
"""Of them together: every tensor of every image is held at once, several times over."""


@dataclass(frozen=True)
class LayerError:
    """What quantisation does to one tensor."""

    name: str
    signal_to_noise: float
    """Decibels: 10 log10 of the float32 tensor's power over that of the difference."""


def _reader(batches: npt.NDArray[np.float32]) -> Any:
    """Return what feeds onnxruntime's quantiser image by image; batches (N, 3, H, W)."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(np.split(batches, len(batches)))

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            batch = next(self._left, None)
            return None if batch is None else {"images": batch}

    return Reader()


def write_int8(subject: Subject, source: Path, path: Path, calibration: Pixels, *, raw: bool) -> list[str]:
    """Quantise an exported network: int8 weights of a scale each channel, int8 activations of one scale.

    Args:
        subject: The network.
        source: Its float32 ONNX file.
        path: The file to write.
        calibration: (N, H, W, 3) images whose smallest and largest values give the scales.
        raw: Whether the normalisation is outside.

    Returns:
        Operators that stay in float32, with their number: "HardSwish (17)".

    Raises:
        ExportError: onnxruntime cannot quantise the network.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = path.with_name("prepared.onnx")
    batches = fed(subject, calibration, raw=raw)
    try:
        with _quiet():
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(path),
                _reader(batches),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
    # The library's exceptions have no common class of their own.
    except Exception as error:
        raise ExportError(f"{subject.name}: onnxruntime cannot quantise it: {error}") from error
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, metadata(subject, raw=raw))
    onnx.save(model, str(path))
    return left_in_float(model)


def layer_errors(
    subject: Subject, source: Path, path: Path, images: Pixels, *, raw: bool
) -> list[LayerError]:
    """Compare every quantised tensor with the one in float32, in the order of the graph.

    Args:
        subject: The network.
        source: The float32 file that was quantised, beside which `prepared.onnx` lies.
        path: The int8 file.
        images: (N, H, W, 3); the first of them are compared.
        raw: Whether the normalisation is outside.
    """
    from onnxruntime.quantization import qdq_loss_debug as debug

    prepared = path.with_name("prepared.onnx")
    _, height, width = subject.input_size
    count = min(_COMPARED, max(2, _COMPARED_PIXELS // (height * width)))
    batches = fed(subject, images[:count], raw=raw)
    found = []
    with _quiet():
        collected = []
        for number, file in enumerate((prepared, path)):
            observed = path.with_name(f"observed-{number}.onnx")
            debug.modify_model_output_intermediate_tensors(str(file), str(observed))
            collected.append(debug.collect_activations(str(observed), _reader(batches)))
            observed.unlink()
        for name, pair in debug.create_activation_matching(collected[1], collected[0]).items():
            quantised, exact = np.stack(pair["post_qdq"]), np.stack(pair["float"])
            found.append(LayerError(name, decibels(exact, quantised)))
    return found


def decibels(exact: npt.NDArray[Any], quantised: npt.NDArray[Any]) -> float:
    """Return the signal-to-noise ratio; 200 where nothing differs, so that it remains a JSON number."""
    noise = float(np.square(exact.astype(np.float64) - quantised).sum())
    power = float(np.square(exact.astype(np.float64)).sum())
    if noise == 0 or power == 0:
        return 200.0 if noise == 0 else -200.0
    return round(float(np.clip(10 * np.log10(power / noise), -200, 200)), 2)


def left_in_float(model: Any) -> list[str]:
    """Return the operators with no QuantizeLinear behind them, whose result therefore stays in float32."""
    quantised = {name for node in model.graph.node if node.op_type == "QuantizeLinear" for name in node.input}
    counts: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear", "Constant"):
            continue
        if not set(node.output) & quantised:
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return [f"{kind} ({count})" for kind, count in sorted(counts.items())]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice, which the user can do nothing with, off the screen."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
