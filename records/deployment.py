"""The deployment of a network: what pages show of `export/export.json` beside its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from records.codec import Count, Record, RecordError, Share

FOLDER, FILE = "export", "export.json"
_FLASH = ("weights", "biases", "multipliers", "tables", "code", "total")
_RAM = ("arena", "input", "scores")


@dataclass(frozen=True)
class Measured:
    """Right answers of N images."""

    accuracy: Share
    interval95: tuple[Share, Share]
    images: Count


@dataclass(frozen=True)
class Form:
    """One form of the network."""

    target: str
    """What `--to` calls it: "onnx", "int8", "c", "tflite" or "html"."""
    bytes: Count
    images: str
    """What its accuracy was measured on, in words; two exports may have taken different images."""
    reference: Measured | None
    """In float32 by torch, on the same images."""
    accuracy: Measured | None
    milliseconds: float | None
    """Of one image on one CPU thread by onnxruntime."""
    slower: str | None
    """How much slower int8 is than float32, in words; None where it is not."""
    emulated: Count | None
    """Images on which QEMU gave the interpreter's scores."""
    tuned: bool
    """Whether it was fine-tuned with the roundings of int8."""


@dataclass(frozen=True)
class Board:
    """What the network would take on a microcontroller board: an estimate."""

    board: str
    core: str
    megahertz: Count
    fits: bool
    milliseconds: tuple[float, float]
    source: str


@dataclass(frozen=True)
class FineTuning:
    """The accuracy in int8 on the images held out for validation, before and after `--qat`."""

    epochs: Count
    before: Measured
    after: Measured
    learned: bool
    """Whether the run itself learned from these images."""


@dataclass(frozen=True)
class Deployment(Record):
    """What an export wrote."""

    weights_sha256: str
    forms: tuple[Form, ...]
    flash: dict[str, Count | None] | None
    """Bytes of the C code by kind; None: no C was written; of "code": no compiler was there."""
    ram: dict[str, Count] | None
    boards: tuple[Board, ...]
    qat: FineTuning | None

    @classmethod
    def beside(cls, folder: Path) -> Deployment | None:
        """Return what was exported of a run; None where nothing was.

        Args:
            folder: Of the weights.

        Raises:
            RecordError: The record is damaged; the text names the field and the way out.
        """
        path = folder / FOLDER / FILE
        if not path.is_file():
            return None
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            return cls.from_json(_chosen(value), str(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            what = str(error) if isinstance(error, RecordError) else f"{path}: {type(error).__name__} {error}"
            raise RecordError(f"{what}; export again with python -m export, or remove the folder") from error


def _chosen(value: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that are shown, not checked yet."""
    parts = value["parts"]
    c = parts.get("c", {})
    tuned = next((part["qat"] for part in parts.values() if part.get("qat")), None)
    return {
        "schema": value["schema"],
        "weights_sha256": value["weights_sha256"],
        "forms": [
            {
                "target": target,
                "bytes": part["bytes"],
                "images": part["images"],
                "reference": _measured(part["reference"]),
                "tuned": part.get("qat") is not None,
                "accuracy": _measured(part["accuracy"]),
                **{name: part.get(name) for name in ("milliseconds", "slower", "emulated")},
            }
            for target, part in parts.items()
        ],
        "flash": {name: c["flash"][name] for name in _FLASH} if c else None,
        "ram": {name: c["ram"][name] for name in _RAM} if c else None,
        "boards": [
            {name: board[name] for name in ("board", "core", "megahertz", "fits", "milliseconds", "source")}
            for board in c.get("boards", ())
        ],
        "qat": None if tuned is None else _tuned(tuned),
    }


def _measured(found: dict[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {name: found[name] for name in ("accuracy", "interval95", "images")}


def _tuned(found: dict[str, Any]) -> dict[str, Any]:
    judged = found["validation"]
    return {
        "epochs": found["epochs"],
        "before": _measured(judged["before"]),
        "after": _measured(judged["after"]),
        "learned": judged["learned"],
    }
