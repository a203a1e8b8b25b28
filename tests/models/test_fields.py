"""Receptive fields against float64 autograd, and the worked cases of the literature."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from models.blocks import ChannelNorm, SqueezeExcite
from models.fields import features_field
from models.hulls import PIXELS, Hulls, union
from models.kinds import KINDS
from models.net import build
from models.presets import PRESETS
from models.spec import LayerSpec, NetSpec

LOCAL = (nn.Conv2d, nn.ConvTranspose2d)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish)
DROPPED = (nn.BatchNorm2d, ChannelNorm, SqueezeExcite, *ACTIVATIONS, nn.Dropout)


def column(module: nn.Module) -> nn.Module:
    """Make a network read a column of pixels, with positive float64 weights and nothing that hides them."""
    for name, child in module.named_children():
        if isinstance(child, LOCAL):
            keys = ("stride", "padding", "dilation")
            window = {key: (getattr(child, key)[0], int(key != "padding")) for key in keys}
            if isinstance(child, nn.ConvTranspose2d):
                window["output_padding"] = (child.output_padding[0], 0)
            kernel = (child.kernel_size[0], 1)
            flat = type(child)(
                child.in_channels, child.out_channels, kernel, groups=child.groups, bias=False, **window
            ).double()
            nn.init.uniform_(flat.weight, 0.5, 1.5)
            flat.weight.data /= flat.weight[0].numel()
            setattr(module, name, flat)
        elif isinstance(child, DROPPED):
            setattr(module, name, nn.Identity())
        else:
            column(child)
    return module


def seen(spec: NetSpec, length: int, count: int) -> list[tuple[int, int, int]]:
    """Return (output, first, last input row seen) of `count` outputs in the middle of a column of pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = column(build(spec))
    image = torch.ones(1, spec.input_size[0], length, 1, dtype=torch.float64, requires_grad=True)
    x = image
    for name in ("stem", "c1", "c2", "c3", "c4"):
        x = network.get_submodule(name)(x)
    rows = x.sum((0, 1, 3))
    middle = len(rows) // 2
    found = []
    for output in range(middle, min(middle + count, len(rows))):
        (gradient,) = torch.autograd.grad(rows[output], image, retain_graph=True)
        pixels = gradient.sum((0, 1, 3)).nonzero().flatten().tolist()
        found.append((output, pixels[0], pixels[-1]))
    return found


def check(spec: NetSpec) -> None:
    field = features_field(spec)
    period = len(field.lows)
    for output, first, last in seen(spec, 3 * field.size + 64 * period, 2 * period):
        turns, phase = divmod(output, period)
        expected = field.lows[phase] + turns * field.shift, field.highs[phase] + turns * field.shift
        assert (first, last) == expected


@pytest.mark.parametrize("name", PRESETS)
def test_field_of_presets_is_where_the_gradient_is_not_zero(name):
    check(PRESETS[name])


def test_field_of_every_kind_and_option_is_where_the_gradient_is_not_zero(everything):
    check(everything)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_field_of_random_networks_is_where_the_gradient_is_not_zero(data, specs):
    spec = data.draw(specs)
    assume(features_field(spec).size < 1500)
    check(spec)


def chain(*layers: LayerSpec) -> Hulls:
    field = PIXELS
    for layer in layers:
        field = KINDS[layer.kind].through(field, layer)
    return field


def up(kernel: int, **keys: int) -> LayerSpec:
    return LayerSpec("transposed", 8, kernel, stride=2, **keys)


@pytest.mark.parametrize(
    ("layers", "size", "jump", "start"),
    [
        pytest.param([LayerSpec("conv", 8)], 3, 1, -1, id="conv 3"),
        pytest.param([LayerSpec("conv", 8, stride=2)] * 3, 15, 8, -7, id="three conv 3 stride 2"),
        pytest.param([LayerSpec("dilated", 8, dilation=2)] * 3, 13, 1, -6, id="three dilated 3"),
        pytest.param(
            [LayerSpec("conv", 8, 1, stride=2), LayerSpec("conv", 8)], 5, 2, -2, id="stride above kernel"
        ),
        pytest.param([LayerSpec("conv", 8, padding=0)] * 3, 7, 1, 0, id="three conv 3 without padding"),
        pytest.param([LayerSpec("conv", 8, stride=2), up(3)], 5, 1, -1, id="conv 3 stride 2, transposed 3"),
        pytest.param([up(4)], 2, Fraction(1, 2), -1, id="transposed 4"),
        pytest.param([up(3)], 2, Fraction(1, 2), 0, id="transposed 3"),
        pytest.param(
            [LayerSpec("transposed", 8, 2, dilation=2, padding=0)], 3, 1, -2, id="transposed stride 1"
        ),
    ],
)
def test_field_of_worked_cases(layers, size, jump, start):
    field = chain(*layers)
    assert (field.size, field.jump, field.lows[0]) == (size, jump, start)


def test_union_of_shifted_paths_is_wider_than_either():
    first, second = Hulls(1, (0,), (4,)), Hulls(1, (1,), (5,))
    assert union(first, second).size == 6


def test_union_finds_the_common_period():
    assert union(Hulls(2, (0, 0), (0, 3)), PIXELS) == Hulls(2, (0, 0), (0, 3))
    assert union(PIXELS, Hulls(2, (-1, 1), (-1, 1))) == Hulls(2, (-1, 1), (0, 1))
