"""The built network: its children, its weights, and the ways in which it must run."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from models.net import build
from models.presets import PRESETS
from models.spec import BranchSpec, LayerSpec, NetSpec, OutputSpec, StageSpec

FEW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
CHILDREN = ["stem", "c1", "c2", "c3", "c4", "output"]


def one_layer(layer: LayerSpec, **parts: object) -> NetSpec:
    """A network whose C2 is one layer that reads 8 channels."""
    stage = StageSpec((LayerSpec("conv", 8, 1),))
    stages = {"c1": stage, "c2": StageSpec((layer,)), "c3": stage, "c4": stage}
    return NetSpec("one", input_size=(3, 8, 8), **(stages | parts))


@pytest.mark.parametrize("name", PRESETS)
def test_children_of_presets_are_stem_stages_and_output(name):
    assert [child for child, _ in build(PRESETS[name]).named_children()] == CHILDREN


def test_a_network_without_a_stem_has_an_empty_one():
    network = build(one_layer(LayerSpec("conv", 8)))
    assert len(network.stem) == 0
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


@FEW
@given(data=st.data())
def test_random_networks_train_in_bfloat16_and_channels_last(data, specs):
    spec = data.draw(specs)
    network = build(spec).to(memory_format=torch.channels_last)
    images = torch.randn(4, *spec.input_size).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        scores = network(images)
    assert scores.shape == (4, spec.classes)
    assert scores.isfinite().all()
    scores.float().logsumexp(1).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


@FEW
@given(data=st.data())
def test_random_networks_build_and_run_on_the_meta_device(data, specs):
    spec = data.draw(specs)
    with torch.device("meta"):
        network = build(spec).eval()
        scores = network(torch.zeros(2, *spec.input_size))
    assert scores.shape == (2, spec.classes)
    assert all(weight.is_meta for weight in network.parameters())


@pytest.mark.parametrize("name", PRESETS)
def test_presets_export_to_the_same_scores(name):
    spec = PRESETS[name]
    network, images = build(spec).eval(), torch.randn(2, *spec.input_size)
    exported = torch.export.export(network, (images,)).module()
    torch.testing.assert_close(exported(images), network(images))


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_presets_compile_to_the_same_scores(name):
    spec = PRESETS[name]
    network, images = build(spec).eval(), torch.randn(2, *spec.input_size)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), network(images))


@pytest.mark.slow
def test_the_smallest_preset_compiles_to_machine_code_with_the_same_scores():
    """About 40 CPU seconds the first time; inductor keeps what it compiled."""
    if not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        pytest.skip("inductor needs a C++ compiler")
    network, images = build(PRESETS["tiny"]).eval(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        compiled = torch.compile(network, fullgraph=True, backend="inductor")
        torch.testing.assert_close(compiled(images), network(images))


def test_names_of_modules_tell_stage_layer_and_step(everything):
    names = {name for name, _ in build(everything).named_modules()}
    wanted = {"c1.0.conv", "c2.0.depthwise", "c2.0.pointwise", "c2.1.split.branches.2", "c4.0.squeeze_excite"}
    assert wanted <= names


def test_a_bias_stands_only_where_no_norm_does():
    with_norm, without = (
        build(one_layer(LayerSpec("depthwise_separable", 8, norm=norm))) for norm in ("batch", "none")
    )
    assert with_norm.c2[0].depthwise.bias is None
    assert with_norm.c2[0].pointwise.bias is None
    assert without.c2[0].depthwise.bias is not None
    assert without.c2[0].pointwise.bias is not None


@pytest.mark.parametrize(
    ("order", "steps"),
    [
        ("conv-norm-act", ["depthwise", "depthwise_norm", "depthwise_act", "pointwise", "norm", "act"]),
        (
            "conv-act-norm",
            ["depthwise", "depthwise_act", "depthwise_norm", "pointwise", "pointwise_act", "norm"],
        ),
        (
            "norm-act-conv",
            ["depthwise_norm", "depthwise_act", "depthwise", "norm", "pointwise_act", "pointwise"],
        ),
    ],
)
def test_the_order_of_a_layer_is_that_of_its_steps(order, steps):
    layer = build(one_layer(LayerSpec("depthwise_separable", 8, order=order))).c2[0]
    assert [name for name, _ in layer.named_children()] == steps


def test_a_shortcut_is_added_before_the_closing_activation():
    network = build(one_layer(LayerSpec("conv", 8, residual=1)))
    layer, x = network.c2[0].eval(), torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(network.c2(x), torch.relu(layer.norm(layer.conv(x)) + x))


def test_a_shortcut_over_two_layers_starts_at_the_first_of_them():
    network = build(
        one_layer(
            LayerSpec("conv", 8), c3=StageSpec((LayerSpec("conv", 4), LayerSpec("conv", 8, residual=2)))
        )
    )
    first, second = network.c3.eval()
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(network.c3(x), torch.relu(second.norm(second.conv(first(x))) + x))


def test_a_gate_multiplies_one_half_with_the_other_activated():
    pointwise = (
        build(one_layer(LayerSpec("depthwise_separable", 8, gated=True, activation="silu"))).c2[0].pointwise
    )
    x = torch.randn(2, 8, 4, 4)
    gate, value = pointwise.expand(x).split(8, dim=1)
    torch.testing.assert_close(pointwise(x), pointwise.project(nn.functional.silu(gate) * value))


def test_a_split_passes_the_channels_of_kernel_1_through():
    layer = LayerSpec("split", 8, branches=(BranchSpec(1), BranchSpec(3), BranchSpec(5, 2)))
    split, x = build(one_layer(layer)).c2[0].split, torch.randn(2, 8, 6, 6)
    assert split.sizes == [3, 3, 2]
    torch.testing.assert_close(split(x)[:, :3], x[:, :3])
    torch.testing.assert_close(split(x)[:, 6:], split.branches[2](x[:, 6:]))


def test_transposed_layers_keep_the_map_or_double_it():
    for kernel in range(1, 8):
        for stride in (1, 2):
            if (stride == 2 and kernel == 1) or (stride == 1 and kernel % 2 == 0):
                continue
            spec = one_layer(LayerSpec("transposed", 8, kernel, stride=stride))
            assert build(spec).c2(torch.zeros(1, 8, 6, 6)).shape[2:] == (6 * stride, 6 * stride)


@pytest.mark.parametrize("order", ["conv-norm-act", "conv-act-norm", "norm-act-conv"])
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("extra", [{}, {"gated": True}, {"squeeze_excite": 2}, {"dropout": 0.1}])
def test_a_residual_layer_starts_as_its_shortcut(order, norm, extra):
    layer = LayerSpec("depthwise_separable", 8, residual=1, order=order, norm=norm, **extra)
    network = build(one_layer(layer))
    features = torch.randn(2, 8, 6, 6).relu()  # so that an activation after the sum changes nothing
    assert torch.equal(network.c2(features), features)


def test_the_gated_preset_learns_from_its_first_steps():
    """With branches that start at full size it stays at the loss of guessing, log 10 = 2.3, for an epoch."""
    small = {
        name: replace(stage, layers=tuple(replace(layer, width=layer.width // 4) for layer in stage.layers))
        for name, stage in PRESETS["wide"].parts()
        if name != "output"
    }
    torch.manual_seed(0)
    network = build(replace(PRESETS["wide"], input_size=(3, 16, 16), **small))
    images, labels = torch.randn(64, 3, 16, 16), torch.arange(64) % 10
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(40):
        loss = functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1.5


@pytest.mark.parametrize("kind", ["conv", "depthwise_separable", "dilated", "transposed"])
def test_fresh_weights_keep_the_size_of_the_signal(kind):
    """He-normal makes up for the half that a ReLU takes away, so without one the variance doubles."""
    torch.manual_seed(0)
    layer = LayerSpec(kind, 64, activation="none", norm="none", dilation=2 if kind == "dilated" else 1)
    stage = StageSpec((LayerSpec("conv", 64, 1),))
    network = build(NetSpec("wide", c1=stage, c2=StageSpec((layer,)), c3=stage, c4=stage))
    with torch.no_grad():
        result = network.c2(torch.randn(8, 64, 32, 32))[:, :, 8:-8, 8:-8]
    doublings = 2 if kind == "depthwise_separable" else 1
    assert 0.6 < result.var().item() / 2**doublings < 1.6


class Written(TorchDispatchMode):
    """Collects the inputs that an op changes in place."""

    def __init__(self, watched: torch.Tensor) -> None:
        super().__init__()
        self.watched, self.changed = watched.untyped_storage().data_ptr(), False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.__name__.split(".")[0].endswith("_") and args[0].untyped_storage().data_ptr() == self.watched:
            self.changed = True
        return func(*args, **(kwargs or {}))


@FEW
@given(data=st.data())
def test_no_network_writes_on_its_input(data, specs):
    spec = data.draw(specs)
    image = torch.randn(1, *spec.input_size)
    with torch.no_grad(), Written(image) as seen:
        build(spec).eval()(image)
    assert not seen.changed


def test_output_may_start_with_a_norm_and_an_activation():
    output = OutputSpec("gap-linear", norm="batch", activation="relu", dropout=0.2)
    steps = [
        name for name, _ in build(one_layer(LayerSpec("conv", 8), output=output)).output.named_children()
    ]
    assert steps == ["norm", "features_act", "pool", "flatten", "dropout", "linear"]
