"""The network as operators: equal to torch, and a clear word about what is not known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export import floats
from export.errors import ExportError
from export.graph import Activation, Convolution
from export.lowering import lower
from models.net import build
from models.reference import resnet8
from models.spec import StageSpec
from tests.export.conftest import MEAN, MIXED, STD, Case, awake, subject_of


@pytest.mark.parametrize("name", ["mixed", "residual-mcu", "tiny"])
def test_the_operators_compute_what_the_network_does(name: str, case: Callable[[str], Case]) -> None:
    found = case(name)
    pixels = (torch.from_numpy(found.images).float() - torch.tensor(MEAN)) / torch.tensor(STD)
    logits = floats.run(found.graph, pixels.permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(logits, found.logits, atol=1e-4 * np.abs(found.logits).max())


def test_no_norm_is_left_after_a_convolution(case: Callable[[str], Case]) -> None:
    nodes = case("residual-mcu").graph.nodes
    convolutions = [node for node in nodes if isinstance(node.op, Convolution)]
    assert len(convolutions) == 18
    assert sum(node.op.weight.size for node in convolutions) == 97_128


def test_a_padding_module_of_a_published_network_becomes_part_of_the_convolution() -> None:
    network = awake(resnet8.build_model())
    graph = lower(subject_of(network))
    images = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(floats.run(graph, images), network(images), atol=1e-5, rtol=1e-4)
    assert {node.op.padding for node in graph.nodes if isinstance(node.op, Convolution)} == {(0, 0), (1, 1)}


def test_an_activation_in_place_replaces_what_it_read() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            torch.relu_(x)
            return (x + x.clone()).mean((2, 3))

    graph = lower(subject_of(Net().eval(), classes=4))
    assert isinstance(graph.nodes[1].op, Activation)
    assert graph.nodes[2].inputs == (2, 2)


def test_a_norm_is_not_folded_where_the_convolution_is_read_elsewhere_too() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return (x + self.norm(x)).mean((2, 3))

    network = awake(Net())
    graph = lower(subject_of(network, classes=4))
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(floats.run(graph, images), network(images), atol=1e-5, rtol=1e-4)
    assert sum(isinstance(node.op, Convolution) for node in graph.nodes) == 2


class _Between(nn.Module):
    """A convolution, what a test puts behind it, and a linear layer; with a norm whose figures matter."""

    def __init__(self, middle: Callable[[_Between, Tensor], Tensor]) -> None:
        super().__init__()
        self.middle = middle
        self.conv, self.norm, self.linear = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4)
        awake(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.middle(self, self.conv(x)))  # type: ignore[no-any-return]


def _gap(x: Tensor) -> Tensor:
    return x.mean((2, 3))


@pytest.mark.parametrize(
    "middle",
    [
        lambda net, x: _gap(torch.cat(x.split(3, 1), 1)),
        lambda net, x: _gap(torch.cat(x.chunk(2, -3), -3)),
        lambda net, x: _gap(torch.cat(x.split([1, 7], 1)[::-1], 1)),
        lambda net, x: x.mean((-1, -2), keepdim=True).flatten(1),
        lambda net, x: nn.functional.avg_pool2d(x, 6).flatten(1),
        # The convolution is read twice, by one of them through a copy: the norm may not change it.
        lambda net, x: _gap(x + net.norm(x.clone())),
    ],
    ids=["split", "chunk from the end", "split with sizes", "mean", "average pooling", "norm of a copy"],
)
def test_forms_of_an_operator_compute_what_torch_does(middle: Callable[[_Between, Tensor], Tensor]) -> None:
    network = _Between(middle).eval()
    graph = lower(subject_of(network, (3, 8, 8), classes=4))
    images = torch.randn(2, 3, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(floats.run(graph, images), network(images), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("middle", "words"),
    [
        (lambda net, x: x.mean().expand(len(x), 8), "a mean over everything"),
        (lambda net, x: nn.functional.avg_pool2d(x, 6, stride=6, padding=1).flatten(1), "average pooling of"),
        (lambda net, x: _gap(nn.functional.gelu(x, approximate="tanh")), "GELU approximated by tanh"),
    ],
    ids=["mean of everything", "padded pooling", "tanh"],
)
def test_a_form_that_computes_something_else_is_refused(
    middle: Callable[[_Between, Tensor], Tensor], words: str
) -> None:
    with pytest.raises(ExportError, match=words):
        lower(subject_of(_Between(middle).eval(), (3, 8, 8), classes=4))


def test_a_linear_layer_on_a_map_is_refused() -> None:
    """With as many columns as channels a 1x1 convolution in its place would fit, and be wrong."""
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Linear(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ExportError, match=r"1 has a linear layer on a map of .*; take a 1x1 convolution"):
        lower(subject_of(network.eval(), (3, 8, 8), classes=8))


class _Pooled(nn.Sequential):
    def __init__(self, *middle: nn.Module) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), *middle, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    ("middle", "words"),
    [
        (nn.MaxPool2d(2), r"1 has the operator aten\.max_pool2d"),
        (nn.AvgPool2d(2), "an average pooling of"),
        (nn.Hardtanh(-1, 1), "a hardtanh from -1"),
        (nn.Sequential(nn.ZeroPad2d(1), nn.ReLU()), "a padding that is not zeros before a convolution"),
        (nn.Softmax(dim=1), r"aten\.softmax"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_an_unknown_operator_is_refused_with_its_place_and_a_way_out(middle: nn.Module, words: str) -> None:
    with pytest.raises(ExportError, match=words) as raised:
        lower(subject_of(_Pooled(middle).eval(), classes=4))
    assert "--to onnx,int8" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_layer_norm_is_refused_with_the_place_in_the_spec() -> None:
    layers = (replace(MIXED.c1.layers[0], norm="layer"), MIXED.c1.layers[1])
    spec = replace(MIXED, c1=StageSpec(layers))
    with pytest.raises(ExportError, match=r"c1\.0\.norm has the operator aten\.permute"):
        lower(subject_of(build(spec).eval(), spec.input_size, spec.classes))
