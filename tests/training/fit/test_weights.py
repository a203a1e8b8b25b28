import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.net import build
from models.presets import PRESETS
from training.errors import TrainingError
from training.fit.checkpoint import CheckpointError, save_weights
from training.fit.weights import as_teacher, fingerprint, load_network

SPEC = replace(PRESETS["tiny"], classes=3)
METADATA = {
    "network": "tiny",
    "spec": SPEC.to_json(),
    "target": None,
    "classes": ["red", "green", "blue"],
    "normalisation": {"mean": [120.0, 121.0, 122.0], "std": [60.0, 61.0, 62.0]},
}


@pytest.fixture
def trained(tmp_path) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    model = build(SPEC)
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)  # running statistics, as training leaves them
    save_weights(tmp_path / "best.safetensors", model, METADATA)
    return model.eval(), tmp_path


@pytest.mark.parametrize("name", ["", "best.safetensors"], ids=["folder", "file"])
def test_a_trained_network_is_built_from_its_file_alone(trained, name):
    model, folder = trained
    found, metadata = load_network(folder / name)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(found(images), model(images))
    assert not found.training
    assert metadata == METADATA


def test_weights_without_a_spec_need_their_network(tmp_path):
    model = nn.Linear(2, 3)
    path = tmp_path / "best.safetensors"
    save_weights(path, model, {"spec": None, "target": "model.py:Net"})
    with pytest.raises(CheckpointError, match=r"no spec; name the network too: .*it was model\.py:Net"):
        load_network(path)
    found, _ = load_network(path, nn.Linear(2, 3))
    assert torch.equal(found.weight, model.weight)


def test_weights_of_another_network_are_refused_in_one_line(trained):
    _, folder = trained
    with pytest.raises(CheckpointError, match=r"best\.safetensors is of another network: ") as caught:
        load_network(folder, nn.Linear(2, 3))
    assert "\n" not in str(caught.value)


def test_a_spec_that_cannot_be_built_is_refused(tmp_path):
    save_weights(tmp_path / "best.safetensors", nn.Linear(2, 3), {"spec": {"name": "broken"}})
    with pytest.raises(CheckpointError, match="its spec cannot be built"):
        load_network(tmp_path)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no best\.safetensors: its run has not ended"):
        load_network(tmp_path)
    with pytest.raises(CheckpointError, match=r"none\.safetensors is missing"):
        load_network(tmp_path / "none.safetensors")


def test_a_teacher_of_the_same_data_is_itself():
    network = nn.Linear(2, 3)
    own = METADATA["normalisation"]
    found = as_teacher(network, METADATA, classes=METADATA["classes"], mean=own["mean"], std=own["std"])
    assert found is network
    assert not found.training


def test_a_teacher_of_other_data_sees_what_it_is_used_to():
    pixels = torch.randint(0, 256, (4, 3, 5, 5)).double()
    own = METADATA["normalisation"]
    mean, std = (90.0, 100.0, 110.0), (50.0, 40.0, 30.0)

    def normalised(mean, std) -> torch.Tensor:
        mean, std = (torch.tensor(each).double().view(1, 3, 1, 1) for each in (mean, std))
        return (pixels - mean) / std

    teacher = as_teacher(nn.Identity(), METADATA, classes=METADATA["classes"], mean=mean, std=std)
    found = teacher(normalised(mean, std).float())
    assert torch.allclose(found.double(), normalised(own["mean"], own["std"]), atol=1e-5)


@pytest.mark.parametrize("classes", [("red", "green"), ("green", "red", "blue")], ids=["fewer", "order"])
def test_a_teacher_of_other_classes_is_refused(classes):
    with pytest.raises(TrainingError, match=r"the teacher 'tiny' knows 3 classes .* the same order"):
        as_teacher(nn.Identity(), METADATA, classes=classes, mean=(0.0,) * 3, std=(1.0,) * 3)


def test_a_fingerprint_tells_networks_apart():
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    assert fingerprint(first) != fingerprint(second)
    second.load_state_dict(first.state_dict())
    assert fingerprint(first) == fingerprint(second.to(memory_format=torch.channels_last))


def test_weights_that_are_not_finite_are_refused_by_name(trained):
    model, folder = trained
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = float("nan")
    save_weights(folder / "best.safetensors", model, METADATA)
    name = next(iter(dict(model.named_parameters())))
    with pytest.raises(
        CheckpointError, match=rf"'{name}' holds NaN or infinity, so every answer would; take"
    ) as e:
        load_network(folder)
    assert "\n" not in str(e.value)


def test_a_mask_that_is_infinite_in_the_network_itself_is_no_fault(tmp_path):
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 3)
            self.register_buffer("mask", torch.full((2, 2), float("-inf")).triu(1))

    model = Masked()
    save_weights(tmp_path / "best.safetensors", model, {"spec": None})
    load_network(tmp_path / "best.safetensors", Masked())


NAN = float("nan")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("classes", value) for value in ([], ["a", "a"], [1, 2], "ab", {"a": 1}, 3)),
        *(
            ("input_size", value)
            for value in ([3, 32], [3, 0, 32], [3, 32.0, 32], [3, 10**9, 1], "x", [True] * 3)
        ),
        *(
            ("normalisation", {"mean": mean, "std": std})
            for mean, std in (
                ([NAN] * 3, [1.0] * 3),
                ([1.0] * 3, [0.0] * 3),
                ([1.0] * 3, [-1.0] * 3),
                ([1.0] * 3, [float("inf")] * 3),
                ([10**400] * 3, [1.0] * 3),
                ("abc", [1.0] * 3),
                (None, [1.0] * 3),
                ([[1.0]] * 3, [1.0] * 3),
            )
        ),
        *(("normalisation", value) for value in ([1, 2], "x", 5)),
    ],
    ids=lambda value: str(value)[:30],
)
def test_metadata_that_cannot_be_is_refused_in_one_line(trained, key, value):
    model, folder = trained
    save_weights(folder / "best.safetensors", model, METADATA | {key: value})
    with pytest.raises(CheckpointError, match=rf"'{key}' of its metadata cannot be ") as caught:
        load_network(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(folder))


def test_metadata_of_a_thousand_brackets_is_text(trained):
    model, folder = trained
    from safetensors.torch import save_file

    brackets = "[" * 100_000
    save_file(
        dict(model.state_dict()), folder / "best.safetensors", metadata={"spec": "null", "classes": brackets}
    )
    with pytest.raises(CheckpointError, match="'classes' of its metadata cannot be '"):
        load_network(folder, build(SPEC))


@pytest.mark.parametrize("kind", [torch.complex64, torch.bool, torch.int32])
def test_weights_of_another_kind_of_number_are_refused_by_name(trained, kind):
    model, folder = trained
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    name = next(iter(dict(model.named_parameters())))
    metadata = {key: json.dumps(value) for key, value in METADATA.items()}
    try:
        save_file({**state, name: state[name].to(kind)}, folder / "best.safetensors", metadata)
    except KeyError:
        pytest.skip(f"this release of safetensors has no {kind}")
    with pytest.raises(CheckpointError, match=rf"another network: '{name}' holds {kind}, not torch.float32"):
        load_network(folder)
