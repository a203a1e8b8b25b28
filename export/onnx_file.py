"""ONNX: the file, its metadata, and the gate that it answers as torch does."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from export.errors import ExportError
from export.images import Pixels
from export.subject import Normalised, Subject

Logits = npt.NDArray[np.float32]
LARGEST_DIFFERENCE = 1e-3
"""Of a logit, between torch and the exported network, on real images; above it nothing is written."""
OPSETS = (18, 23)
"""First and last opset that is written."""
PIXELS, NORMALISED = "pixels", "normalised"
"""The two inputs: RGB 0-255 with the normalisation inside, or without it (`--raw`)."""


@dataclass(frozen=True)
class Parity:
    """How far an exported network is from torch."""

    difference: float
    """Largest absolute difference of a logit."""
    images: int
    same_answers: int

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "largest_difference": self.difference,
            "images": self.images,
            "same_answers": self.same_answers,
            "limit": LARGEST_DIFFERENCE,
        }


def check_opset(opset: int) -> None:
    """Refuse an opset that torch does not write.

    Raises:
        ExportError: It is out of range.
    """
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise ExportError(f"--opset {opset}: must be {OPSETS[0]} to {OPSETS[1]}; leave it out for 20")


def write_onnx(subject: Subject, path: Path, *, raw: bool, opset: int) -> None:
    """Write the network with a dynamic batch; norms are folded into the convolutions before them.

    Args:
        subject: The network.
        path: The file.
        raw: Leave the normalisation out.
        opset: Version of the operators.

    Raises:
        ExportError: torch cannot export the network.
    """
    import onnx

    module = subject.network if raw else Normalised(subject).eval()
    example = torch.zeros(2, *subject.input_size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch's own code about torch's own code
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=opset,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
        assert program is not None
        model = program.model_proto
    # torch's exporter raises errors of many packages.
    except Exception as error:
        first = str(error).strip().splitlines()[0]
        raise ExportError(f"{subject.name}: torch cannot export it to ONNX opset {opset}: {first}") from error
    if len(model.graph.output) != 1:
        raise ExportError(f"{subject.name}: has {len(model.graph.output)} outputs; a classifier has one")
    _forget_the_machine(model)
    onnx.helper.set_model_props(model, metadata(subject, raw=raw))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def metadata(subject: Subject, *, raw: bool) -> dict[str, str]:
    """Return what the file says of itself; every value is JSON."""
    trained = subject.trained
    preparation = (
        None if trained is None or trained.preprocessing is None else trained.preprocessing.to_json()
    )
    values = {
        "network": subject.name,
        "classes": list(subject.classes),
        "input_size": list(subject.input_size),
        "input": NORMALISED if raw else PIXELS,
        "normalisation": {"mean": list(subject.mean), "std": list(subject.std)},
        "preprocessing": preparation,
        "dataset": None if trained is None else trained.dataset,
        "trained": trained is not None,
        "weights_sha256": subject.hash,
        "rfcalc_version": _version(),
    }
    return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}


def _version() -> str:
    import rfcalc

    return rfcalc.__version__


def _forget_the_machine(model: Any) -> None:
    """Remove what torch notes of each node: stack traces, that is paths and source lines of this machine."""
    del model.metadata_props[:]
    graph = model.graph
    for each in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph):
        del each.metadata_props[:]
        if hasattr(each, "doc_string"):
            each.doc_string = ""


def session(path: Path) -> Any:
    """Return an onnxruntime session on one thread that does not spin.

    Raises:
        ExportError: onnxruntime cannot read the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # The library's exceptions have no common class of their own.
    except Exception as error:
        raise ExportError(f"{path.name}: onnxruntime cannot read it: {error}") from error


def fed(subject: Subject, images: Pixels, *, raw: bool) -> npt.NDArray[np.float32]:
    """Return images (N, H, W, 3) as the exported network reads them: (N, 3, H, W) float32."""
    pixels = images.astype(np.float32)
    if raw:
        mean, std = (np.array(each, dtype=np.float32) for each in (subject.mean, subject.std))
        pixels = np.asarray((pixels - mean) * (1 / std), dtype=np.float32)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def run_onnx(path: Path, subject: Subject, images: Pixels, *, raw: bool, batch: int = 100) -> Logits:
    """Return the logits (N, classes) of the exported network."""
    runner = session(path)
    name = runner.get_inputs()[0].name
    rows = [
        runner.run(None, {name: fed(subject, images[start : start + batch], raw=raw)})[0]
        for start in range(0, len(images), batch)
    ]
    return np.concatenate(rows)


def run_torch(subject: Subject, images: Pixels, *, batch: int = 100) -> Logits:
    """Return the logits (N, classes) of the network itself."""
    rows = []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            pixels = torch.from_numpy(fed(subject, images[start : start + batch], raw=True))
            rows.append(subject.network(pixels).numpy())
    return np.concatenate(rows)


def compare(expected: Logits, found: Logits) -> Parity:
    """Compare the logits of torch with those of an exported network, (N, classes) each."""
    if expected.shape != found.shape:
        raise ExportError(f"the exported network answers {found.shape}, torch {expected.shape}")
    difference = float(np.abs(expected - found).max())
    same = int((expected.argmax(1) == found.argmax(1)).sum())
    return Parity(difference, len(expected), same)


def require_parity(parity: Parity, name: str) -> None:
    """Refuse an exported network, the file `name`, that answers otherwise than torch.

    Raises:
        ExportError: A logit differs by more than `LARGEST_DIFFERENCE`, or is NaN.
    """
    if not parity.difference <= LARGEST_DIFFERENCE:  # NaN is refused as well
        raise ExportError(
            f"{name}: a logit differs from torch by {parity.difference:.2g} on {parity.images} images, "
            f"more than {LARGEST_DIFFERENCE:g}; nothing was written (an operator is exported wrongly)"
        )
