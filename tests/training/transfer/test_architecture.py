"""Architectures as data, and their stages against the networks' own forward."""

import pytest
import torch
from torch import nn

from training.errors import TrainingError
from training.transfer.architecture import Architecture, Head, classifier_of
from training.transfer.preprocessing import Preprocessing
from training.transfer.stages import freeze, frozen_count, run, stages_of, unfreeze

pytest.importorskip("timm", reason="the extra `transfer` is not installed")

PIXELS = Preprocessing(64, 0.875, "bilinear", (124.0, 116.0, 104.0), (58.0, 57.0, 57.0))
NETWORKS = [
    ("torchvision", "resnet18", 6),
    ("torchvision", "densenet121", 6),
    ("torchvision", "mobilenet_v2", 19),
    ("torchvision", "efficientnet_b0", 9),
    ("torchvision", "regnet_y_400mf", 6),
    ("timm", "tf_efficientnet_lite0", 9),
    ("timm", "convnext_atto", 6),
    ("timm", "resnet18", 6),
    ("timm", "vit_tiny_patch16_224", 2),
    ("timm", "mobilenetv3_small_100", 2),
]


def made(
    library: str, name: str, head: Head | None = None, classes: int = 3
) -> tuple[Architecture, nn.Module]:
    architecture = Architecture(library, name, head or Head(), classes, PIXELS)
    torch.manual_seed(3)
    return architecture, architecture.build().eval()


@pytest.mark.parametrize(("library", "name", "count"), NETWORKS)
def test_stages_one_after_the_other_are_the_network(library, name, count):
    architecture, network = made(library, name, Head((8,), dropout=0.5))
    stages = stages_of(architecture, network)
    assert len(stages) == count
    x = torch.randn(2, 3, 224 if "vit" in name else 64, 224 if "vit" in name else 64)
    with torch.no_grad():
        assert torch.equal(run(stages, x), network(x))
    owned = [id(each) for stage in stages for each in stage.parameters()]
    assert sorted(owned) == sorted(id(each) for each in network.parameters())  # each once


def test_the_published_densenet_is_the_reference_row_by_row():
    from models.reference.densenet121_catdog import build_model

    _, network = made(
        "torchvision", "densenet121", Head((512, 256), dropout=0.2, log_softmax=True), classes=2
    )
    reference = build_model()
    assert [(name, type(module)) for name, module in network.named_modules()] == [
        (name, type(module)) for name, module in reference.named_modules()
    ]
    assert sum(each.numel() for each in network.parameters()) == 7_610_498


def test_json_gives_the_same_architecture_back():
    architecture, _ = made("torchvision", "resnet18", Head((270, 90), dropout=0.1))
    assert Architecture.from_json(architecture.to_json()) == architecture


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"backbone": "os:system"}, "unknown library"),
        ({"backbone": "timm:../../etc/passwd"}, "not the name of a network"),
        ({"backbone": "timm:hf-hub:someone/model"}, "not the name of a network"),
        ({"backbone": "timm:no_such_network"}, "timm has no network"),
        ({"backbone": "torchvision:no_such_network"}, "torchvision has no classifier"),
        ({"backbone": "torchvision:fasterrcnn_resnet50_fpn"}, "torchvision has no classifier"),
        ({"backbone": "torchvision:vgg11"}, "cannot be replaced here"),
        ({"head": [0]}, "must be 1 to"),
        ({"head": [10**9]}, "must be 1 to"),
        ({"head": ["x"]}, "cannot be read"),
        ({"dropout": 1.0}, "below 1"),
        ({"classes": 1}, "two classes or more"),
        ({"preprocessing": None}, "preprocessing cannot be read"),
    ],
    ids=str,
)
def test_what_a_file_may_not_ask_for_is_one_line(change, says):
    value = made("torchvision", "resnet18")[0].to_json() | change
    with pytest.raises(TrainingError, match=says):
        Architecture.from_json(value).build()


@pytest.mark.parametrize(
    ("library", "name"), [("torchvision", "densenet121"), ("timm", "tf_efficientnet_lite0")]
)
def test_a_frozen_backbone_keeps_every_bit_whatever_calls_train(library, name):
    architecture, network = made(library, name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    *body, head = stages_of(architecture, network)
    for stage in body:
        freeze(stage)
    optimizer = torch.optim.SGD([each for each in network.parameters() if each.requires_grad], lr=0.1)
    for _ in range(2):
        network.train()
        network(torch.randn(4, 3, 64, 64)).square().sum().backward()
        optimizer.step()
    inside = classifier_of(architecture, network)
    changed = [key for key, value in network.state_dict().items() if not torch.equal(value, before[key])]
    assert changed
    assert all(key.startswith(inside) for key in changed)
    assert all(each.requires_grad for each in head.parameters())


def test_unfreezing_trains_weights_and_leaves_the_statistics_of_norms():
    architecture, network = made("timm", "tf_efficientnet_lite0")
    *body, _ = stages_of(architecture, network)
    for stage in body:
        freeze(stage)
    unfreeze(body[-1])
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    network(torch.randn(4, 3, 64, 64)).square().sum().backward()
    torch.optim.SGD([each for each in network.parameters() if each.requires_grad], lr=0.1).step()
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert "conv_head.weight" in changed
    assert "blocks.6.0.conv_dw.weight" in changed
    assert "blocks.5.0.conv_dw.weight" not in changed
    assert not any("running" in key for key in changed)


def test_freeze_counts_stages():
    assert [frozen_count(text, 6) for text in ("all", "none", "0", "3", "5")] == [5, 0, 0, 3, 5]
    for text in ("6", "-1", "two", "", "³"):
        with pytest.raises(
            TrainingError, match=r"must be all, none, or the number of stages that stay frozen, 0 to 5"
        ):
            frozen_count(text, 6)
