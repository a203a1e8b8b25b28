"""Trained networks from disk: the network that `best.safetensors` describes, built, with its weights."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import nn

from models.errors import SpecError
from models.net import build
from models.spec import NetSpec
from training.errors import TrainingError
from training.fit.checkpoint import CheckpointError, load_weights

WEIGHTS = "best.safetensors"
_LONGEST = 1 << 16
"""Pixels or channels: more is no image that anybody has trained on, and a batch of it fits nowhere."""


class NoSpecError(CheckpointError):
    """Weights without the spec of their network.

    Attributes:
        metadata: The file's metadata, which may describe the network in another way.
    """

    def __init__(self, text: str, metadata: dict[str, Any]) -> None:
        super().__init__(text)
        self.metadata = metadata


def load_network(path: Path, model: nn.Module | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network of a finished training and give it its weights.

    Nothing that the file names is imported or run: a spec is data. Where there is none, the caller brings the
    network.

    Args:
        path: A safetensors file, or the folder of a run that holds `best.safetensors`.
        model: Network that takes the weights in place; None: it is built from the spec in the file.

    Returns:
        The network in eval mode, and the metadata: `network`, `spec`, `target`, `classes`, `input_size`,
        `normalisation`, `dataset`, `val_accuracy`, `test_accuracy`.

    Raises:
        CheckpointError: There is no such file, it is damaged, it has no spec and `model` is None, or the
            weights are of another network.
    """
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        what = f"{path} holds no {WEIGHTS}: its run has not ended" if path.is_dir() else f"{path} is missing"
        raise CheckpointError(f"{what}; name the folder of a finished run, or its {WEIGHTS}")
    tensors, metadata = load_weights(file)
    if model is None:
        if metadata.get("spec") is None:
            raise NoSpecError(
                f"{file} holds weights but no spec; name the network too: --model model.py:Name "
                f"(it was {metadata.get('target') or metadata.get('network') or 'unknown'})",
                metadata,
            )
        try:
            model = build(NetSpec.from_json(metadata["spec"]))
        except SpecError as error:
            raise CheckpointError(f"{file}: its spec cannot be built: {error}") from error
    check_metadata(metadata, file)
    _check_finite(model, tensors, file)
    _check_kinds(model, tensors, file)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).split("\n\t")[1:2] or [str(error)]
        raise CheckpointError(f"{file} is of another network: {' '.join(first[0].split())}") from error
    return model.eval(), metadata


def _check_finite(model: nn.Module, tensors: dict[str, torch.Tensor], file: Path) -> None:
    """Refuse weights that make every answer NaN; a mask of -inf that the network itself has is none."""
    own = model.state_dict()
    for name, value in tensors.items():
        masked = name in own and own[name].is_floating_point() and not bool(own[name].isfinite().all())
        if value.is_floating_point() and not masked and not bool(value.isfinite().all()):
            raise CheckpointError(
                f"{file}: {name!r} holds NaN or infinity, so every answer would; take other weights "
                "(the training may have diverged)"
            )


def _check_kinds(model: nn.Module, tensors: dict[str, torch.Tensor], file: Path) -> None:
    """Refuse complex numbers and truth values, which torch would turn into others with a warning or none.

    Floating-point numbers of another width are those of the network, rounded.
    """
    for name, own in model.state_dict().items():
        if name in tensors and _kind(tensors[name]) != _kind(own):
            raise CheckpointError(
                f"{file} is of another network: {name!r} holds {tensors[name].dtype}, not {own.dtype}"
            )


def _kind(tensor: torch.Tensor) -> tuple[bool, bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex(), tensor.dtype == torch.bool


def check_metadata(metadata: dict[str, Any], file: Path) -> None:
    """Check what weights say of their images and classes, where they say it.

    Raises:
        CheckpointError: `classes` is no list of different names, `input_size` no three lengths, or
            `normalisation` not three finite means and three positive deviations.
    """
    rules = {"classes": _are_names, "input_size": _is_size, "normalisation": _is_normalisation}
    for key, holds in rules.items():
        value = metadata.get(key)
        if value is not None and not holds(value):
            shown = repr(value)
            shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
            raise CheckpointError(
                f"{file}: {key!r} of its metadata cannot be {shown}; only weights that train.py or a search "
                "wrote can be used"
            )


def _are_names(value: Any) -> bool:
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        return False
    return len(set(value)) == len(value)


def _is_size(value: Any) -> bool:
    # bool is an int to Python, not to a reader of the file.
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(length) is int and 1 <= length <= _LONGEST for length in value)
    )


def _is_normalisation(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    mean, std = value.get("mean"), value.get("std")
    return _are_numbers(mean) and _are_numbers(std) and all(each > 0 for each in std)


def _are_numbers(values: Any) -> TypeGuard[list[float]]:
    if not isinstance(values, list) or not values:
        return False
    return all(type(each) in (int, float) and abs(each) < 1e6 for each in values)  # NaN is not below


def as_teacher(
    network: nn.Module,
    metadata: dict[str, Any],
    *,
    classes: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
) -> nn.Module:
    """Return a trained network as one that reads the student's normalised images.

    Args:
        network: Network that `load_network` returned.
        metadata: Metadata that it returned.
        classes: Classes of the student's data, in order.
        mean: Mean of the student's data, per channel, 0-255.
        std: Deviation of the student's data, per channel.

    Raises:
        TrainingError: The teacher knows other classes, or the same ones in another order.
    """
    known = metadata.get("classes")
    if known is not None and list(known) != list(classes):
        raise TrainingError(
            f"the teacher {metadata.get('network', '?')!r} knows {len(known)} classes "
            f"({', '.join(known[:3])}, ...), the data has {len(classes)} ({', '.join(classes[:3])}, ...); "
            "they must be the same in the same order"
        )
    own = metadata.get("normalisation")
    if own is None or (list(own["mean"]) == list(mean) and list(own["std"]) == list(std)):
        return network.eval()
    return _Renormalised(network, own, mean, std).eval()


class _Renormalised(nn.Module):
    """Undoes one data set's normalisation and does another's: what a teacher of other data is used to."""

    factor: torch.Tensor
    offset: torch.Tensor

    def __init__(
        self, network: nn.Module, own: dict[str, Any], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.network = network
        theirs, its = (torch.tensor(each).view(1, -1, 1, 1) for each in (mean, own["mean"]))
        spread, its_spread = (torch.tensor(each).view(1, -1, 1, 1) for each in (std, own["std"]))
        self.register_buffer("factor", spread / its_spread)
        self.register_buffer("offset", (theirs - its) / its_spread)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits for images (B, 3, H, W) that the student's normalisation made."""
        logits: torch.Tensor = self.network(images * self.factor + self.offset)
        return logits


def fingerprint(model: nn.Module) -> int:
    """Return a checksum of everything in a network's state: equal for equal weights."""
    total = 0
    for name, value in sorted(model.state_dict().items()):
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        total = zlib.crc32(raw.data, zlib.crc32(name.encode(), total))
    return total
