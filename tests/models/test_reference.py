"""The published networks against their published tables and figures, row by row."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.reference import (
    cifar10_dilated_blocks,
    cifar10_transpose,
    densenet121_catdog,
    resnet8,
    resnet20,
    resnet50_catdog,
)

TABLES = Path(__file__).with_name("data")
Row = tuple[str, str, int]


def table(name: str) -> list[Row]:
    with (TABLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return [(row["layer"], row["output_shape"], int(row["parameters"])) for row in csv.DictReader(file)]


def rows(model: nn.Module, size: int) -> list[Row]:
    """Type, output shape and parameters of every leaf module, in the order in which they run."""
    found: list[Row] = []

    def note(module: nn.Module, _: object, output: torch.Tensor) -> None:
        shape = "x".join(map(str, output.shape[1:]))
        found.append((type(module).__name__, shape, sum(p.numel() for p in module.parameters())))

    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(note)
    with torch.device("meta"):
        model(torch.zeros(1, 3, size, size))
    return found


def on_meta(build) -> nn.Module:
    with torch.device("meta"):
        return build().eval()


TABULATED = [
    (cifar10_transpose, "cifar10_transpose", 32, 19, 98_089),
    (cifar10_dilated_blocks, "cifar10_dilated_blocks", 32, 48, 197_613),
    (densenet121_catdog, "densenet121_catdog", 244, 373, 7_610_498),
]
IDS = [entry[1] for entry in TABULATED]


@pytest.mark.parametrize(("module", "name", "size", "count", "total"), TABULATED, ids=IDS)
def test_every_row_of_the_published_table_is_rebuilt(module, name, size, count, total):
    published = table(name)
    assert rows(on_meta(module.build_model), size) == published
    assert len(published) == count
    assert sum(params for _, _, params in published) == total


@pytest.mark.parametrize(("module", "name", "size", "count", "total"), TABULATED, ids=IDS)
def test_the_rows_hold_all_parameters_of_the_network(module, name, size, count, total):
    assert sum(p.numel() for p in on_meta(module.build_model).parameters()) == total


@pytest.mark.parametrize("name", IDS)
def test_the_tables_are_those_that_were_published(name):
    shared = Path(__file__).resolve().parents[2].parent / "shared" / "reference" / f"{name}.csv"
    if not shared.exists():
        pytest.skip("the folder of published tables is not beside this checkout")
    assert (TABLES / f"{name}.csv").read_text(encoding="utf-8") == shared.read_text(encoding="utf-8")


def macs(model: nn.Module, size: int) -> int:
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        model(torch.zeros(1, 3, size, size))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("build", "trainable", "total", "size", "expected_macs"),
    [
        pytest.param(resnet8.build_model, 78_186, 78_186, 32, 12_501_632, id="ResNet-8"),
        pytest.param(resnet20.build_model, 269_722, 269_722, 32, 40_551_040, id="ResNet-20"),
        pytest.param(resnet50_catdog.build_model, 4_098, 23_508_032 + 4_098, 224, 4_087_140_352, id="new fc"),
        pytest.param(
            resnet50_catdog.build_deep_head,
            24_085_834,
            23_508_032 + 2048 * 270 + 270 + 270 * 90 + 90 + 90 * 2 + 2,
            224,
            4_087_136_256 + 2048 * 270 + 270 * 90 + 90 * 2,
            id="fc 2048-270-90-2",
        ),
    ],
)
def test_peers_have_their_published_parameters_and_macs(build, trainable, total, size, expected_macs):
    model = on_meta(build)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trainable
    assert sum(p.numel() for p in model.parameters()) == total
    assert macs(model, size) == expected_macs


@pytest.mark.parametrize("module", [cifar10_transpose, cifar10_dilated_blocks, resnet8, resnet20])
def test_small_networks_train_on_the_cpu(module):
    model = module.build_model()
    scores = model(torch.randn(4, 3, 32, 32))
    assert scores.shape == (4, 10)
    scores.logsumexp(1).sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
