"""ONNX and int8 of a run, by onnxruntime, and the service that takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from export.__main__ import main
from export.onnx_file import fed, run_onnx, run_torch, session
from export.subject import open_subject
from serve.model import check, load

pytestmark = pytest.mark.slow  # torch's exporter takes 10 s


@pytest.fixture(scope="module")
def exported(trained_run: Path) -> Path:
    assert main([str(trained_run), "--to", "onnx,int8", "--calibration", "20", "--split", "test"]) == 0
    return trained_run / "export"


@pytest.fixture(scope="module")
def record(exported: Path) -> Any:
    return json.loads((exported / "export.json").read_text())["parts"]


def test_the_file_reads_pixels_in_batches_of_any_size(exported: Path, trained_run: Path) -> None:
    subject = open_subject(str(trained_run))
    images = np.random.default_rng(1).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    expected = run_torch(subject, images)
    np.testing.assert_allclose(
        run_onnx(exported / "model.onnx", subject, images, raw=False, batch=3), expected, atol=1e-4
    )
    feed = {"images": fed(subject, images[:1], raw=False)}
    assert feed["images"].max() > 100
    np.testing.assert_allclose(session(exported / "model.onnx").run(None, feed)[0], expected[:1], atol=1e-4)


def test_norms_are_folded_and_nothing_of_this_machine_is_inside(exported: Path) -> None:
    model = onnx.load(str(exported / "model.onnx"))
    kinds = {node.op_type for node in model.graph.node}
    assert "BatchNormalization" not in kinds
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert b".py" not in (exported / "model.onnx").read_bytes()


def test_the_metadata_says_what_the_network_wants(exported: Path) -> None:
    for name in ("model.onnx", "model-int8.onnx"):
        model = onnx.load(str(exported / name))
        found = {each.key: json.loads(each.value) for each in model.metadata_props}
        assert found["classes"] == ["cat", "dog"]
        assert found["input"] == "pixels"
        assert found["normalisation"] == {"mean": [120.0, 115.0, 105.0], "std": [60.0, 61.0, 62.0]}
        assert len(found["weights_sha256"]) == 64


def test_the_record_has_parity_accuracy_and_what_int8_loses(record: Any) -> None:
    assert record["onnx"]["parity"]["largest_difference"] < 1e-3
    assert record["onnx"]["parity"]["images"] == 20
    assert record["onnx"]["accuracy"] == record["onnx"]["reference"]
    assert set(record["int8"]["accuracy"]["per_class"]) == {"cat", "dog"}
    assert record["int8"]["bytes"] < record["onnx"]["bytes"]
    assert len(record["int8"]["errors"]) > 10
    assert all(10 < each["decibels"] < 80 for each in record["int8"]["errors"])


def test_the_service_answers_by_the_exported_network(exported: Path, trained_run: Path) -> None:
    model = load(trained_run)
    assert model.engine.name == "onnxruntime"
    assert check(model).sum() == pytest.approx(1)


def test_without_normalisation_the_service_normalises(trained_run: Path, exported: Path) -> None:
    assert main([str(trained_run), "--raw", "--split", "test"]) == 0
    model = load(trained_run)
    assert model.engine.name == "onnxruntime"
    metadata = {each.key: each.value for each in onnx.load(str(exported / "model.onnx")).metadata_props}
    assert metadata["input"] == '"normalised"'
