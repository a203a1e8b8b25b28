"""What is served: a run whose files agree, and nothing else."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from records.errors import UserError
from records.layout import RUN, WEIGHTS
from serve.engines import ONNX
from serve.errors import ServeError
from serve.model import Model, check, fixed_image, load
from tests.serve.conftest import export, indifferent_run, make_run
from training.fit.checkpoint import load_weights, save_weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_run(tmp_path / "pets")


def test_a_run_and_its_weights_alone_are_loaded(folder: Path) -> None:
    model = load(folder)
    assert model.engine.name == "torch"
    assert model.facts["receptive_field"] == [61, 61]
    assert check(model).sum() == pytest.approx(1)
    alone = folder.parent / "alone.safetensors"
    (folder / WEIGHTS).rename(alone)
    assert load(alone).version == model.version


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("dataset", "classes"), ["dog", "cat"]),
        (("dataset", "mean"), [1.0, 2.0, 3.0]),
        (("dataset", "image_size"), [64, 64]),
        (("val_accuracy",), 0.8),
        (("network",), "other"),
        (("params",), 7),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_nothing_is_served_from_files_that_disagree(folder: Path, path: tuple[str, ...], value: Any) -> None:
    record = json.loads((folder / RUN).read_text())
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    (folder / RUN).write_text(json.dumps(record))
    with pytest.raises(ServeError, match="different runs"):
        load(folder)


def test_an_evaluation_on_the_test_set_may_come_later(folder: Path) -> None:
    record = json.loads((folder / RUN).read_text()) | {"test_accuracy": 0.7}
    (folder / RUN).write_text(json.dumps(record))
    assert load(folder).facts["test_accuracy"] == 0.7


@pytest.mark.parametrize("damage", ["missing", "cut", "nan", "no metadata", "no folder"])
def test_weights_that_cannot_be_used_are_one_line(folder: Path, damage: str) -> None:
    file = folder / WEIGHTS
    match damage:
        case "missing":
            file.unlink()
        case "cut":
            file.write_bytes(file.read_bytes()[:1000])
        case "nan":
            _, metadata = load_weights(file)
            network = load(folder).trained.network
            with torch.no_grad():
                next(network.parameters()).fill_(float("nan"))
            save_weights(file, network, metadata)
        case "no metadata":
            save_weights(file, load(folder).trained.network, {})
        case "no folder":
            folder = folder / "nothing"
    with pytest.raises(UserError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.fixture
def indifferent(tmp_path: Path) -> Path:
    """A run whose last layer is zero, so that every class is as likely: what `export` answers, too."""
    return indifferent_run(tmp_path / "pets")


def test_an_exported_run_is_answered_by_onnxruntime(indifferent: Path) -> None:
    export(indifferent)
    model = load(indifferent)
    assert model.engine.name == "onnxruntime"
    images = np.stack([fixed_image((32, 32))] * 3)
    np.testing.assert_allclose(model.probabilities(images), 0.5, atol=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        {"classes": ["dog", "cat"]},
        {"normalisation": {"mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"input_size": [3, 64, 64]},
    ],
    ids=lambda each: next(iter(each)),
)
def test_an_export_of_other_facts_is_refused(indifferent: Path, other: dict[str, Any]) -> None:
    export(indifferent, **other)
    with pytest.raises(ServeError, match="export the run again"):
        load(indifferent)


def test_an_export_of_other_weights_is_refused(folder: Path) -> None:
    export(folder)
    with pytest.raises(ServeError, match="otherwise than the weights"):
        load(folder)


def test_a_file_that_is_no_onnx_is_refused(folder: Path) -> None:
    (folder / ONNX).parent.mkdir()
    (folder / ONNX).write_bytes(b"nothing")
    with pytest.raises(ServeError, match="cannot be read as ONNX"):
        load(folder)


def test_a_model_without_probabilities_is_refused(folder: Path) -> None:
    class Wrong:
        name = "wrong"

        def probabilities(self, images: Any) -> Any:
            return np.full((len(images), 2), 0.9, dtype=np.float32)

    with pytest.raises(ServeError, match=r"sum to 1\.8"):
        check(Model(load(folder).trained, Wrong(), "0"))
