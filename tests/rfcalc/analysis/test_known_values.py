"""Published and derived receptive fields of well-known networks; torchvision's are built without weights."""

import os

import pytest
import torch
from torch import nn

from rfcalc.analysis.analyze import analyze

models = pytest.importorskip("torchvision.models")

# RF, jump, padding (-start) of the last local features; TF-slim, RFA, DeLF and autograd agree.
LAST = {
    "alexnet": (195, 32, 66),
    "vgg11": (150, 32, 59),
    "vgg16": (212, 32, 90),
    "resnet18": (435, 32, 217),
    "resnet50": (427, 32, 213),
    "densenet121": (2071, 32, 1021),
    "googlenet": (379, 32, 167),
    "inception_v3": (1311, 32, 618),
    "mobilenet_v2": (491, 32, 245),
    "squeezenet1_1": (207, 16, 88),
    "efficientnet_b0": (851, 32, 425),
    "convnext_tiny": (1688, 32, 828),
}

# (map size, jump) -> (RF, padding) of the last row with that resolution.
STAGES = {
    "resnet18": {(56, 4): (43, 21), (28, 8): (99, 49), (14, 16): (211, 105), (7, 32): (435, 217)},
    "resnet50": {(56, 4): (35, 17), (28, 8): (91, 45), (14, 16): (267, 133), (7, 32): (427, 213)},
    "vgg16": {
        (224, 1): (5, 2),
        (112, 2): (14, 6),
        (56, 4): (40, 18),
        (28, 8): (92, 42),
        (14, 16): (196, 90),
        (7, 32): (212, 90),
    },
    "mobilenet_v2": {
        (112, 2): (7, 3),
        (56, 4): (19, 9),
        (28, 8): (59, 29),
        (14, 16): (267, 133),
        (7, 32): (491, 245),
    },
    "googlenet": {
        (112, 2): (7, 3),
        (56, 4): (19, 7),
        (28, 8): (59, 23),
        (14, 16): (235, 103),
        (7, 32): (379, 167),
    },
}


def build(name):
    settings = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    if name.startswith("regnet"):  # reads tensors while it is built
        return models.get_model(name, weights=None)
    # Meta weights: nothing is drawn, nothing takes memory; tracing reads none.
    with torch.device("meta"):
        return models.get_model(name, weights=None, **settings)


def analysed(name):
    size = 299 if name == "inception_v3" else 224
    return analyze(build(name), (3, size, size))


@pytest.mark.parametrize("name", LAST)
def test_torchvision_networks_have_their_known_receptive_field(name):
    analysis = analysed(name)
    size, jump, padding = LAST[name]
    assert analysis.field.size == (size, size)
    assert analysis.field.jump == (jump, jump)
    assert analysis.field.start == (-padding, -padding)
    assert not analysis.field.flags
    assert analysis.field.is_global == (name == "efficientnet_b0")


@pytest.mark.parametrize("name", STAGES)
def test_each_resolution_has_its_known_receptive_field(name):
    found = {}
    for row in analysed(name).rows:
        if len(row.output_shape) == 3 and row.field.jump[0] is not None and row.op != "max pool":
            found[row.output_shape[1], row.field.jump[0]] = (row.field.size[0], -row.field.start[0])
        elif row.op == "max pool" and name == "vgg16" and row.output_shape[1] == 7:
            found[7, 32] = (row.field.size[0], -row.field.start[0])
    expected = STAGES[name]
    if name == "googlenet":  # its 3x3 s1 max pools end in a concat of the same resolution
        assert {key: found[key] for key in expected} == expected
    else:
        assert {key: value for key, value in found.items() if key in expected} == expected


def test_an_rf_above_the_input_size_is_not_a_view_of_the_whole_image():
    resnet = analysed("resnet50")
    assert resnet.field.inputs_seen(0, 0)[1] == set(range(214))
    vgg = analysed("vgg16")
    assert vgg.field.inputs_seen(0, 0)[1] == set(range(122))


class Residual(nn.Module):
    """Two 3x3 convolutions and their shortcut."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 3, stride, 1)
        self.second = nn.Conv2d(4, 4, 3, 1, 1)
        self.shortcut = nn.Conv2d(4, 4, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        return self.second(self.first(x)) + self.shortcut(x)


def cifar_resnet(blocks, stages=3):
    layers = [nn.Conv2d(3, 4, 3, 1, 1)]
    for stage in range(stages):
        layers += [Residual(2 if stage and not block else 1) for block in range(blocks)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("blocks", "size"),
    [(3, 81), (5, 137), (7, 193), (9, 249), (18, 501)],
    ids=["20", "32", "44", "56", "110"],
)
def test_cifar_resnets_have_rf_28n_minus_3(blocks, size):
    field = analyze(cifar_resnet(blocks), (3, 32, 32)).field
    assert field.size == (size, size)
    assert size == 28 * blocks - 3
    assert field.jump == (4, 4)


def test_resnet18_with_a_cifar_stem_has_rf_109():
    field = analyze(cifar_resnet(2, stages=4), (3, 32, 32)).field
    assert field.size == (109, 109)
    assert field.jump == (8, 8)


def test_rf_32_needs_63_for_every_unit_to_see_the_whole_32x32_image():
    def deep(count):
        return nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(count)))

    barely = analyze(deep(16), (1, 32, 32)).field
    assert barely.size == (33, 33)
    assert len(barely.inputs_seen(0, 0)[0]) == 17
    enough = analyze(deep(31), (1, 32, 32)).field
    assert enough.size == (63, 63)
    assert len(enough.inputs_seen(0, 0)[0]) == 32


# One of each family; sizes of a family run the same ops. RFCALC_ALL_MODELS=1 takes all eighty.
FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_32",
    "wide_resnet50_2",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", models.list_models(module=models) if "RFCALC_ALL_MODELS" in os.environ else FAMILIES
)
def test_every_op_of_every_torchvision_classifier_has_a_rule(name):
    analysis = analysed(name)
    flags = frozenset().union(*(row.field.flags for row in analysis.rows))
    assert not flags & {"probed", "unknown", "data-dependent"}
    # ShuffleNet splits channels of joined branches: the contract calls what follows a bound.
    assert ("upper bound" in flags) == name.startswith("shufflenet")
