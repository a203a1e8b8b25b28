"""predictions.npz: what a network answers to each image that it was judged on."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from records.codec import RecordError
from records.text import reason

_UNREADABLE = (
    *(OSError, ValueError, TypeError, EOFError, SyntaxError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, RuntimeError),  # RuntimeError: encrypted, or packed in an unknown way
)
"""What numpy and zipfile raise for bytes that are no archive of arrays."""
_LARGEST = 1 << 29
"""Bytes of the unpacked arrays: 20 for each image, and so 25 million images."""
_ROUNDING = 1e-5
"""By how much float32 probabilities may be beyond 0 or 1."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Answers to N images, in the order of the images."""

    labels: npt.NDArray[np.int64]
    """(N,) the true classes."""
    predictions: npt.NDArray[np.int64]
    """(N,) the likeliest classes."""
    confidence: npt.NDArray[np.float32]
    """(N,) their probabilities, 0-1."""

    @classmethod
    def read(cls, path: Path, classes: int) -> "Predictions":
        """Read and check the file; nothing in it is unpickled.

        Args:
            path: The file.
            classes: How many classes there are.

        Raises:
            RecordError: It cannot be read, or its arrays do not fit each other or the classes.
        """
        try:
            # Opened here: numpy does not close a file that turns out to be no archive.
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                _check_size(path, file)
                labels, predictions, confidence = (
                    np.asarray(file[name]) for name in ("labels", "predictions", "confidence")
                )
        except KeyError as error:
            raise RecordError(f"{path}: lacks an array: {reason(error)}") from error
        except _UNREADABLE as error:
            raise RecordError(f"{path}: cannot be read ({reason(error)})") from error
        for name, array in (("labels", labels), ("predictions", predictions)):
            _check(path, name, array, "iu", "whole numbers", 0, classes - 1)
        _check(path, "confidence", confidence, "f", "numbers", -_ROUNDING, 1 + _ROUNDING)
        if not len(labels) == len(predictions) == len(confidence) > 0:
            lengths = ", ".join(str(len(each)) for each in (labels, predictions, confidence))
            raise RecordError(
                f"{path}: labels, predictions and confidence must be as many as each other and at least one, "
                f"got {lengths}"
            )
        return cls(labels.astype(np.int64), predictions.astype(np.int64), confidence.astype(np.float32))


def _check_size(path: Path, file: Any) -> None:
    """Refuse an archive that unpacks to gigabytes, which zeros do that pack into some kilobytes."""
    if not isinstance(file, np.lib.npyio.NpzFile) or file.zip is None:
        raise ValueError("it holds one array and is no archive of arrays")
    if (size := sum(each.file_size for each in file.zip.infolist())) > _LARGEST:
        raise RecordError(f"{path}: unpacks to {size:,} bytes, more than {_LARGEST:,} (a bomb?); refused")


def _check(
    path: Path, name: str, array: npt.NDArray[Any], kinds: str, what: str, least: float, most: float
) -> None:
    """Check one array: `kinds` are those of numpy's dtype.kind."""
    if array.ndim != 1 or array.dtype.kind not in kinds:
        raise RecordError(f"{path}: {name} must be a row of {what}, got {array.dtype} of shape {array.shape}")
    # NaN fails the comparison.
    if not ((array >= least) & (array <= most)).all():
        raise RecordError(f"{path}: {name} must be {what} from {round(least)} to {round(most)}")
