"""Networks with a global op, axes that differ, and what other tools get wrong, worked out by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfcalc.analysis.analyze import analyze
from tests.rfcalc.analysis.worked import HALF, UP, Fn, agrees_with_gradients, chain, conv, run, transposed


class Gate(nn.Module):
    """Squeeze and excitation around one convolution."""

    def __init__(self):
        super().__init__()
        self.conv = conv(3, channels=(1, 4))
        self.squeeze = conv(1, channels=(4, 2))
        self.excite = conv(1, channels=(2, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        gate = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(gate))))


class Attention(nn.Module):
    """Self-attention over all positions after one convolution."""

    def __init__(self):
        super().__init__()
        self.conv = conv(3, channels=(1, 4))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(x).flatten(2).transpose(1, 2)
        tokens = tokens + self.attention(tokens, tokens, tokens)[0]
        return tokens.transpose(1, 2).unflatten(2, (16, 16))


GLOBAL = {
    "23 squeeze and excitation": Gate(),
    "24 self-attention": Attention(),
    "30 group norm": chain(conv(3, channels=(1, 4)), nn.GroupNorm(2, 4)),
    "instance norm": chain(conv(3, channels=(1, 4)), nn.InstanceNorm2d(4)),
    "layer norm over C, H, W": chain(conv(3, channels=(1, 4)), nn.LayerNorm((4, 16, 16))),
    "softmax over space": Fn(lambda m, x: m.a(x).flatten(2).softmax(-1).unflatten(2, (16, 16)), a=conv(3)),
}


@pytest.mark.parametrize("net", GLOBAL.values(), ids=GLOBAL)
def test_a_global_op_puts_the_whole_image_in_view_and_keeps_the_local_size(net):
    analysis = analyze(net, (1, 16, 16))
    field = analysis.output
    assert field.is_global
    assert field.size == (3, 3)
    assert field.jump == (1, 1)
    assert field.inputs_seen(3, 12) == (set(range(16)), set(range(16)))
    agrees_with_gradients(analysis, units=10)


def test_11_global_average_pooling_sees_the_image_from_a_vector():
    analysis = analyze(chain(conv(3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), (1, 16, 16))
    assert analysis.output.positions == ()
    assert analysis.output.inputs_seen() == (set(range(16)), set(range(16)))
    assert analysis.output.is_global
    assert analysis.output.jump == (None, None)
    assert analysis.field.size == (3, 3)
    assert analysis.rows[analysis.field_row].op == "conv"


def test_31_batch_norm_in_training_mode_mixes_all_positions_of_the_batch():
    analysis = analyze(chain(conv(3, channels=(1, 4)), nn.BatchNorm2d(4)), (1, 16, 16), train=True)
    assert analysis.output.is_global
    assert analysis.output.inputs_seen(5, 5) == (set(range(16)), set(range(16)))
    assert analysis.output.size == (3, 3)


def test_33_crossed_kernels_see_a_cross_of_13_pixels():
    net = Fn(
        lambda m, x: m.a(x) + m.b(x),
        a=nn.Conv2d(1, 1, (1, 7), padding=(0, 3)),
        b=nn.Conv2d(1, 1, (7, 1), padding=(3, 0)),
    )
    analysis = analyze(net, (1, 16, 16))
    assert analysis.output.size == (7, 7)
    assert analysis.output.mask(8, 8).sum() == 13
    assert analysis.output.inputs_seen(8, 8) == (run(5, 11), run(5, 11))
    agrees_with_gradients(analysis)


def test_34_axes_are_told_apart():
    field = analyze(nn.Conv2d(1, 1, (3, 5), stride=(2, 1)), (1, 16, 16)).output
    assert field.size == (3, 5)
    assert field.jump == (2, 1)


def test_36_layer_norm_over_channels_is_pointwise():
    net = Fn(lambda m, x: m.norm(x.permute(0, 2, 3, 1)), norm=nn.LayerNorm(3))
    field = analyze(net, (3, 8, 8)).output
    assert field.size == (1, 1)
    assert not field.is_global
    assert field.inputs_seen(2, 6) == ({2}, {6})


def test_37_linear_on_the_last_axis_of_a_map_sees_one_row():
    analysis = analyze(nn.Linear(8, 5), (3, 8, 8))
    assert analysis.output.inputs_seen(3) == ({3}, set(range(8)))
    assert analysis.output.is_global
    agrees_with_gradients(analysis)


def test_37_linear_over_channels_is_pointwise():
    net = Fn(lambda m, x: m.a(x.permute(0, 2, 3, 1)), a=nn.Linear(3, 5))
    analysis = analyze(net, (3, 8, 8))
    assert analysis.output.size == (1, 1)
    assert analysis.output.inputs_seen(3, 4) == ({3}, {4})
    agrees_with_gradients(analysis)


def test_38_a_scan_sees_everything_before():
    analysis = analyze(Fn(lambda m, x: x.cumsum(2)), (1, 8, 8))
    assert analysis.output.inputs_seen(5, 2) == (set(range(6)), {2})
    assert analysis.output.jump == (None, 1)
    agrees_with_gradients(analysis)


def test_window_attention_is_constant_over_each_window_and_shifts_with_a_roll():
    def windows(m, x):
        blocks = x.view(1, 4, 4, 4, 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(16, 16, 4)
        blocks = torch.softmax(blocks @ blocks.transpose(1, 2), -1) @ blocks
        return blocks.view(1, 4, 4, 4, 4, 4).permute(0, 5, 1, 3, 2, 4).reshape(1, 4, 16, 16)

    analysis = analyze(Fn(windows), (4, 16, 16))
    assert analysis.output.inputs_seen(5, 10) == ({4, 5, 6, 7}, {8, 9, 10, 11})
    assert analysis.output.size == (4, 4)
    assert not analysis.output.is_global
    shifted = analyze(Fn(lambda m, x: windows(m, x.roll((-2, -2), (2, 3))).roll((2, 2), (2, 3))), (4, 16, 16))
    assert shifted.output.inputs_seen(5, 10) == ({2, 3, 4, 5}, {10, 11, 12, 13})
    assert "wraps" in shifted.output.flags


TRUTH = {
    "conv3 twice": (chain(conv(3), conv(3)), (5, 5), 1),
    "kernel (3, 5)": (nn.Conv2d(1, 1, (3, 5), padding=(1, 2)), (3, 5), 1),
    "max pool, conv3": (chain(nn.MaxPool2d(2), conv(3)), (6, 6), 2),
    "conv3, F.max_pool2d, conv3": (
        Fn(lambda m, x: m.b(F.max_pool2d(m.a(x), 2)), a=conv(3), b=conv(3)),
        (8, 8),
        2,
    ),
    "conv4 s2 p1, transposed 4 s2 p1": (chain(conv(4, 2, 1), transposed(4, 2, 1)), (6, 6), 1),
    "upsample, conv3": (chain(nn.Upsample(**UP), conv(3)), (2, 2), HALF),
    "residual conv3 conv3 + conv1": (
        Fn(lambda m, x: m.b(m.a(x)) + m.c(x), a=conv(3), b=conv(3), c=conv(1)),
        (5, 5),
        1,
    ),
    "cat(conv5, conv3)": (Fn(lambda m, x: torch.cat([m.a(x), m.b(x)], 1), a=conv(5), b=conv(3)), (5, 5), 1),
    "strided residual, conv3": (
        Fn(lambda m, x: m.d(m.b(m.a(x)) + m.c(x)), a=conv(3, 2), b=conv(3), c=conv(1, 2), d=conv(3)),
        (11, 11),
        2,
    ),
}


@pytest.mark.parametrize(("net", "size", "jump"), TRUTH.values(), ids=TRUTH)
def test_a_network_that_other_tools_get_wrong_comes_out_right(net, size, jump):
    analysis = analyze(net, (1, 64, 64))
    assert analysis.output.size == size
    assert analysis.output.jump == (jump, jump)


def test_a_dilated_convolution_starts_where_its_first_tap_is():
    # Two tools print -0.5 and -2.5 (continuous coordinates would give 0.5).
    assert analyze(conv(3, dilation=2), (1, 64, 64)).output.start == (-2, -2)
    three = analyze(chain(*(conv(3, dilation=2) for _ in range(3))), (1, 64, 64)).output
    assert three.start == (-6, -6)
    assert three.centre == (0, 0)
