"""The files of weights: `last.pt`, to go on from, and safetensors, to pass on.

A checkpoint appears whole (temporary file, fsync, rename, fsync of the folder), and the one before stays
beside it as `last.previous.pt`, for the case that the newest is damaged; a damaged one never takes its place.
It is read with `weights_only=True` and nothing else: a file that would need more is refused, since unpickling
it would run what it says. `training.fit.saved` checks what it holds.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from records.files import whole
from training.errors import TrainingError

SCHEMA = 2
_READABLE = (1, 2)
"""Version 1 had no `partial`: it was only ever written between two epochs."""


class CheckpointError(TrainingError):
    """A checkpoint or weights file that cannot be used."""


def previous(path: Path) -> Path:
    """Return where the checkpoint before `path` is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def exists(path: Path) -> bool:
    """Return whether there is a checkpoint to go on from, if only the one before."""
    return path.is_file() or previous(path).is_file()


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists, dicts) whole and keep the checkpoint before.

    Raises:
        OSError: The folder cannot be written or the disk is full; earlier checkpoints are as they were.
    """
    # Through memory: torch's own writer meets a full disk with a RuntimeError that does not name it.
    content = io.BytesIO()
    torch.save({"schema": SCHEMA, **state}, content)
    with whole(path) as temporary:
        with temporary.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())  # before an earlier checkpoint gives way: the new one may not fit
        if _damage(path) is None:
            _keep(path)


def _keep(path: Path) -> None:
    """Name the present checkpoint `previous` as well; `path` itself is never missing in between."""
    kept = previous(path)
    link = path.with_name(f".{kept.name}-{os.getpid()}")
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(path)
    except OSError:  # a file system without hard links: the rename that follows keeps the newest alone
        return
    link.replace(kept)


def load(path: Path) -> tuple[dict[str, Any], str | None]:
    """Read the newest checkpoint, or the one before when the newest is damaged.

    Returns:
        The state, and a notice for the user when it is not the newest.

    Raises:
        CheckpointError: Neither can be read; the newest holds more than tensors and plain values; or it is of
            another version.
    """
    try:
        return _read(path), None
    except _DamagedError as damage:
        with suppress(_DamagedError):
            return _read(previous(path)), f"{path} {damage}; going on from the checkpoint before it"
        raise CheckpointError(
            f"{path} {damage}, and no earlier one can be used; start anew under another name"
        ) from damage


class _DamagedError(Exception):
    """The file is missing or its bytes are not a checkpoint."""


def _read(path: Path) -> dict[str, Any]:
    if (damage := _damage(path)) is not None:
        raise _DamagedError(damage)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than weights and plain values; it is not opened, as that could run code"
        ) from error
    # A pickle that is none fails in many ways (IndexError, AttributeError, struct.error, ...).
    except Exception as error:
        raise _DamagedError("is damaged") from error
    if not isinstance(state, dict) or state.get("schema") not in _READABLE:
        found = state.get("schema") if isinstance(state, dict) else type(state).__name__
        raise CheckpointError(
            f"{path} is not a checkpoint of this version (schema {found!r}, wanted {SCHEMA})"
        )
    return state


def _damage(path: Path) -> str | None:
    """Return what is wrong with the bytes of a checkpoint, if anything."""
    if not path.is_file():
        return "is missing"
    try:
        if not zipfile.is_zipfile(path):  # torch.save writes a zip archive, whose directory is at the end
            return "is truncated or not a checkpoint"
        with zipfile.ZipFile(path) as archive:
            if (member := archive.testzip()) is not None:  # torch itself does not look at the checksums
                return f"is damaged (checksum of {member})"
    except (zipfile.BadZipFile, zlib.error, RuntimeError, OSError, EOFError, ValueError, KeyError):
        return "is damaged"
    return None


def save_weights(path: Path, model: nn.Module, metadata: Mapping[str, Any]) -> None:
    """Write a network's weights as safetensors, whole.

    Args:
        path: File to write.
        model: Network; its whole state is written, buffers included.
        metadata: Facts to use them by (spec, classes, normalisation); each value is stored as
            JSON.
    """
    from safetensors.torch import save as serialise

    # Copies, contiguous: safetensors refuses tensors that share memory, and tied weights do.
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    texts = {key: json.dumps(value, ensure_ascii=False) for key, value in metadata.items()}
    with whole(path) as temporary:
        temporary.write_bytes(serialise(tensors, metadata=texts))


def load_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a safetensors file.

    Returns:
        The state dict, and the metadata with its JSON parsed.

    Raises:
        CheckpointError: It is missing or is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            texts = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors: {' '.join(str(error).split())}"
        ) from error
    metadata: dict[str, Any] = {}
    for key, text in texts.items():
        try:
            metadata[key] = json.loads(text)
        except (
            ValueError,
            RecursionError,
        ):  # plain text, a number of thousands of digits, a thousand brackets
            metadata[key] = text
    return tensors, metadata
