import warnings
from dataclasses import replace

import pytest
import torch
from torch import nn

from training.errors import TrainingError
from training.fit import device
from training.fit.device import resolve, settle
from training.fit.memory import enough_for
from training.fit.recipe import RECIPES

CPU = torch.device("cpu")


RECIPE = replace(RECIPES["fast"], precision="float32", layout="contiguous", batch_size=4)


def settled(**changes):
    return settle(replace(RECIPE, **changes), nn.Flatten(), (8, 8), CPU)


def test_auto_on_a_cpu_augments_there_and_does_not_compile():
    recipe = settled()
    assert (recipe.augment, recipe.compile) == ("cpu", "off")


@pytest.mark.parametrize("asked", ["cpu", "gpu"])
def test_what_is_asked_for_is_kept(asked):
    recipe = settled(augment=asked, compile="on")
    assert (recipe.augment, recipe.compile) == (asked, "on")


def test_without_albumentations_images_are_augmented_by_torch(monkeypatch):
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: None)
    assert settled().augment == "gpu"
    with pytest.raises(TrainingError, match=r"augment=cpu needs albumentations, .* use augment=gpu"):
        settled(augment="cpu")


@pytest.mark.parametrize(("data_bytes", "expected"), [(200_000_000, "gpu"), (30_000_000_000, "cpu")])
def test_on_cuda_the_images_live_on_the_gpu_where_they_fit(monkeypatch, data_bytes, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda place: (16_000_000_000, 24_000_000_000))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(device, "_runs", lambda *_: True)
    recipe = settle(
        replace(RECIPE, precision="auto"), nn.Flatten(), (8, 8), torch.device("cuda"), data_bytes=data_bytes
    )
    assert (recipe.augment, recipe.precision) == (expected, "bfloat16")


def test_graphs_need_a_gpu_which_is_said_before_anything_is_measured(monkeypatch):
    def measured(*choices: object) -> None:
        pytest.fail("a network was timed for a recipe that cannot be had")

    monkeypatch.setattr(device, "_fastest", measured)
    with pytest.raises(TrainingError, match="compile=graphs records CUDA graphs, but the device is cpu"):
        settled(compile="graphs", precision="auto", layout="auto")


def test_a_device_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve("auto") == CPU
    with pytest.raises(TrainingError, match="device 'cuda' is not available here; use --device cpu, or auto"):
        resolve("cuda")
    with pytest.raises(TrainingError, match="there is no device 'gpu'; choose one of auto, cpu, cuda, mps"):
        resolve("gpu")


class Scattered(nn.Sequential):
    """Writes what a convolution returns into a float32 tensor: autocast to bfloat16 makes it fail."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = super().forward(images)
        result = torch.zeros(features.shape, device=features.device)
        result[torch.arange(len(features))] = features
        return result.mean((2, 3))


def test_a_network_that_only_float32_can_run_gets_it(recipe):
    model = Scattered(nn.Conv2d(3, 3, 3))
    settled = settle(replace(recipe, precision="auto"), model, (16, 16), CPU)
    assert settled.precision == "float32"
    assert not device._runs(model, (16, 16), CPU, "bfloat16")
    assert device._runs(model, (16, 16), CPU, "float32")
    with pytest.raises(RuntimeError, match="Index put requires"):
        settle(replace(recipe, precision="bfloat16", layout="auto"), model, (16, 16), CPU)


@pytest.mark.parametrize("runs", [True, False])
def test_bfloat16_is_chosen_on_cuda_where_the_network_runs_in_it(monkeypatch, runs, recipe):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda place: (16_000_000_000, 24_000_000_000))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(device, "_runs", lambda *_: runs)
    settled = settle(replace(recipe, precision="auto"), nn.Flatten(), (8, 8), torch.device("cuda"))
    assert settled.precision == ("bfloat16" if runs else "float32")


def test_auto_becomes_something_that_was_measured_and_leaves_the_network_alone(
    network, weights, same, recipe
):
    model = network()
    before = weights(model)
    settled = settle(replace(recipe, precision="auto", layout="auto"), model, (16, 16), torch.device("cpu"))
    assert settled.precision in ("float32", "bfloat16")
    assert settled.layout in ("channels_last", "contiguous")
    assert same(before, weights(model))
    assert all(parameter.grad is None for parameter in model.parameters())
    fixed = settle(
        replace(recipe, precision="auto", layout="auto"),
        model,
        (16, 16),
        torch.device("cpu"),
        deterministic=True,
    )
    assert (fixed.precision, fixed.layout) == ("float32", "channels_last")


def test_why_there_is_no_cuda_is_said(monkeypatch):
    def old() -> bool:
        warnings.warn(
            "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). "
            "(Triggered internally at CUDAFunctions.cpp:119.)",
            stacklevel=1,
        )
        return False

    monkeypatch.setattr(torch.cuda, "is_available", old)
    with pytest.raises(
        TrainingError, match=r"not available here \(CUDA init.* \(found version 11040\)\); use"
    ):
        resolve("cuda")


class Hungry(nn.Module):
    """Runs out of memory with more than 5 images."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x.mean((2, 3)) @ self.weight


def test_a_trial_says_whether_a_batch_fits():
    model = Hungry()
    assert not device.fits(model, (6, 3, 4, 4), CPU, "float32")
    assert device.fits(model, (5, 3, 4, 4), CPU, "float32")
    assert model.weight.grad is None


@pytest.mark.parametrize(("kind", "expected"), [("cuda", 5), ("cpu", 20)])
def test_the_batch_that_is_suggested_was_tried_on_a_gpu(kind, expected):
    tried = []

    def fits(batch: int) -> bool:
        tried.append(batch)
        return batch <= 5

    advice = f"{kind} ran out of memory with batches of 40; try batch_size {expected}$"
    with pytest.raises(TrainingError, match=advice), enough_for(torch.device(kind), 40, fits):
        raise torch.OutOfMemoryError
    assert tried == ([20, 10, 5] if kind == "cuda" else [])
