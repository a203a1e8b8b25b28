"""The folder of an export: every file appears whole, and what is there goes only when its successor is."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from export import deployment
from records.deployment import FILE as RECORD
from records.files import write_json

SCHEMA = 1


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a folder beside `folder`, on the same disk, that is removed at the end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as path:
        yield Path(path)


def earlier(folder: Path, weights: str) -> dict[str, Any]:
    """Return the parts of an earlier export of the same weights that the report can show.

    Args:
        folder: Of the export.
        weights: Hash of the network's weights.
    """
    before = _before(folder)
    parts: dict[str, Any] = before["parts"] if before.get("weights_sha256") == weights else {}
    return {target: part for target, part in parts.items() if deployment.is_sound(target, part)}


def publish(new: Path, folder: Path, record: dict[str, Any], weights: str) -> None:
    """Move the files of a finished export to their folder, then write its record.

    What an earlier export of the same weights left is kept, unless it was written anew; files of other
    weights are removed, since they would answer otherwise.

    Args:
        new: Folder with the files.
        folder: Where they go.
        record: One entry for each part of the export, such as "onnx".
        weights: Hash of the network's weights.
    """
    before = _before(folder)
    folder.mkdir(exist_ok=True)
    kept = before["parts"] if before.get("weights_sha256") == weights else {}
    written = {path.relative_to(new).as_posix(): path for path in sorted(new.rglob("*")) if path.is_file()}
    for name, path in written.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    parts = kept | record
    hashes = {name: _sha256(folder / name) for name in written}
    if kept:
        hashes = {
            name: value for name, value in before["files"].items() if (folder / name).is_file()
        } | hashes
    write_json(
        folder / RECORD, {"schema": SCHEMA, "weights_sha256": weights, "parts": parts, "files": hashes}
    )
    for name in set(before.get("files", {})) - set(hashes):
        with suppress(OSError):
            (folder / name).unlink()


def _before(folder: Path) -> dict[str, Any]:
    """Return the record of an earlier export; an empty one where there is none that can be read."""
    try:
        value = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    sound = (
        isinstance(value, dict)
        and isinstance(value.get("parts"), dict)
        and isinstance(value.get("files"), dict)
    )
    if not sound or value.get("schema") != SCHEMA:
        return {}
    # A record is a file like any other: its names must lie within the folder.
    value["files"] = {
        name: text
        for name, text in value["files"].items()
        if (folder / name).resolve().is_relative_to(folder.resolve())
    }
    found: dict[str, Any] = value
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
