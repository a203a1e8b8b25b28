"""Weights opened with torch: checked against the record beside them, and computing where nothing is exported.

    python -m serve.weights RUN [TARGET]

prints what `serve.model.load` needs of them as JSON, so that the process that answers can do without torch.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import SpecError
from records.errors import UserError, tell
from rfcalc import RfcalcError
from serve.errors import ServeError
from serve.model import Weights, fixed_image
from training.command.trained import Trained, open_trained
from training.data.samples import Samples
from training.fit.checkpoint import load_weights
from training.fit.evaluate import evaluate
from training.fit.runfolder import weights_metadata
from training.fit.weights import fingerprint


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


def open_weights(path: Path, target: str | None = None) -> Weights:
    """Load weights and check them.

    Args:
        path: The folder of a run or of a search, or a safetensors file.
        target: Builds the network where the weights have no spec.

    Raises:
        UserError: There are no such weights, or they and run.json disagree.
    """
    trained = open_trained(path, target)
    _, metadata = load_weights(trained.file)
    _agree(trained, metadata)
    engine = Torch(trained)
    expected = engine.probabilities(fixed_image(trained.image_size)[None])[0]
    return Weights(trained, metadata, f"{fingerprint(trained.network):08x}", expected, engine)


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


def main(words: list[str]) -> int:
    """Print what is known of the weights as JSON; return the exit code."""
    try:
        found = open_weights(Path(words[0]), words[1] if len(words) > 1 else None)
    except (UserError, SpecError, RfcalcError, OSError) as error:
        return tell("serve", error)
    facts = {
        "file": str(found.trained.file),
        "metadata": found.metadata,
        "version": found.version,
        "expected": found.expected.tolist(),
    }
    sys.stdout.write(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
