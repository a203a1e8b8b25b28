"""The folder of an export: whole files, and nothing of other weights beside them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from export.folder import RECORD, publish, scratch


def _publish(folder: Path, files: dict[str, str], part: str, weights: str) -> None:
    with scratch(folder) as new:
        for name, content in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(content)
        publish(new, folder, {part: {"bytes": 1}}, weights)


def test_a_second_target_of_the_same_weights_joins_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    _publish(folder, {"model.onnx": "one", "deployment.md": "a"}, "onnx", "w")
    _publish(folder, {"c/network.c": "two", "deployment.md": "b"}, "c", "w")
    record = json.loads((folder / RECORD).read_text())
    assert set(record["parts"]) == {"onnx", "c"}
    assert record["files"]["model.onnx"] == hashlib.sha256(b"one").hexdigest()
    assert record["files"]["deployment.md"] == hashlib.sha256(b"b").hexdigest()
    assert (folder / "c" / "network.c").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_files_of_other_weights_go_when_the_new_ones_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    _publish(folder, {"model.onnx": "one", "model-int8.onnx": "1"}, "onnx", "w")
    (folder / "notes.txt").write_text("mine")
    _publish(folder, {"model.onnx": "two"}, "onnx", "other")
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "notes.txt", RECORD}
    assert json.loads((folder / RECORD).read_text())["weights_sha256"] == "other"


def test_a_record_of_a_stranger_removes_nothing_outside(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (tmp_path / "precious").write_text("x")
    record = {"schema": 1, "weights_sha256": "w", "parts": {}, "files": {"../precious": "y"}}
    (folder / RECORD).write_text(json.dumps(record))
    _publish(folder, {"model.onnx": "one"}, "onnx", "other")
    assert (tmp_path / "precious").is_file()


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    try:
        with scratch(folder) as new:
            (new / "model.onnx").write_text("half")
            raise RuntimeError
    except RuntimeError:
        pass
    assert list(tmp_path.iterdir()) == []
