"""Worked cases: every set was computed by hand, and is compared with float64 gradients."""

from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfcalc.analysis.analyze import analyze
from rfcalc.questions.oracle import verify

HALF, THIRD = Fraction(1, 2), Fraction(1, 3)


class Fn(nn.Module):
    """A network given as a function of its input and of layers that it makes on first use."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.function(self, x)


def conv(kernel, stride=1, padding=None, dilation=1, channels=(1, 1), **settings):
    if padding is None:
        padding = dilation * (kernel - 1) // 2
    return nn.Conv2d(*channels, kernel, stride, padding, dilation, **settings)


def transposed(kernel, stride=1, padding=0, extra=0, dilation=1):
    return nn.ConvTranspose2d(1, 1, kernel, stride, padding, extra, dilation=dilation)


def chain(*layers):
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Case:
    """What output unit (o, o) of `net` sees of an n x n input, along either axis."""

    name: str
    net: nn.Module
    n: int
    o: int
    seen: set[int]
    size: int
    size_min: int
    jump: Fraction | int | None
    pixels: int | None = None


def run(low, high, step=1):
    return set(range(low, high + 1, step))


UP = {"scale_factor": 2}
CASES = [
    Case("01 conv k3", conv(3), 16, 5, {4, 5, 6}, 3, 3, 1),
    Case("02 conv k3 s2, once", conv(3, 2), 64, 3, run(5, 7), 3, 3, 2),
    Case("02 conv k3 s2, twice", chain(conv(3, 2), conv(3, 2)), 64, 3, run(9, 15), 7, 7, 4),
    Case(
        "02 conv k3 s2, three times", chain(conv(3, 2), conv(3, 2), conv(3, 2)), 64, 3, run(17, 31), 15, 15, 8
    ),
    Case("03 conv k3 d2", conv(3, dilation=2), 16, 5, {3, 5, 7}, 5, 5, 1, 3),
    Case("04 down and up, even", chain(conv(3, 2), transposed(3, 2, 1, 1)), 16, 6, {5, 6, 7}, 5, 3, 1),
    Case("04b down and up, odd", chain(conv(3, 2), transposed(3, 2, 1, 1)), 16, 7, run(5, 9), 5, 3, 1),
    Case("05 transposed k2 d2", transposed(2, dilation=2), 12, 5, {3, 5}, 3, 3, 1, 2),
    Case("06 nearest, conv k3", chain(nn.Upsample(**UP), conv(3)), 12, 8, {3, 4}, 2, 2, HALF),
    Case("06b nearest, conv k2, even", chain(nn.Upsample(**UP), conv(2, padding=0)), 12, 8, {4}, 2, 1, HALF),
    Case(
        "06c nearest, conv k2, odd", chain(nn.Upsample(**UP), conv(2, padding=0)), 12, 9, {4, 5}, 2, 1, HALF
    ),
    Case("07 bilinear x2", nn.Upsample(**UP, mode="bilinear"), 12, 8, {3, 4}, 2, 2, HALF),
    Case(
        "07b bilinear x2, conv k3",
        chain(nn.Upsample(**UP, mode="bilinear"), conv(3)),
        12,
        8,
        {3, 4, 5},
        3,
        3,
        HALF,
    ),
    Case("07f bilinear x1/4", nn.Upsample(scale_factor=0.25, mode="bilinear"), 32, 3, {13, 14}, 2, 2, 4),
    Case("07g bicubic x2", nn.Upsample(**UP, mode="bicubic"), 12, 8, {2, 3, 4, 5}, 4, 4, HALF),
    Case(
        "08 concat of k3 and k5",
        Fn(lambda m, x: torch.cat([m.a(x), m.b(x)], 1), a=conv(3), b=conv(5)),
        16,
        7,
        run(5, 9),
        5,
        5,
        1,
    ),
    Case("09 residual", Fn(lambda m, x: x + m.b(m.a(x)), a=conv(3), b=conv(3)), 16, 7, run(5, 9), 5, 5, 1),
    Case("10 max pool", nn.MaxPool2d(2), 16, 3, {6, 7}, 2, 2, 2),
    Case("10b max pool, conv k3", chain(nn.MaxPool2d(2), conv(3)), 16, 3, run(4, 9), 6, 6, 2),
    Case(
        "12 three conv k3 d2",
        chain(*(conv(3, dilation=2) for _ in range(3))),
        32,
        15,
        run(9, 21, 2),
        13,
        13,
        1,
        7,
    ),
    Case(
        "12b dilation 1, 2, 5",
        chain(*(conv(3, dilation=d) for d in (1, 2, 5))),
        32,
        15,
        run(7, 23),
        17,
        17,
        1,
    ),
    Case("13 conv k1 s2, conv k3", chain(conv(1, 2), conv(3)), 16, 3, {4, 6, 8}, 5, 5, 2, 3),
    Case("17 transposed k4 s2", transposed(4, 2, 1), 12, 9, {4, 5}, 2, 2, HALF),
    Case("18 transposed k3 s2, even", transposed(3, 2, 1, 1), 12, 10, {5}, 2, 1, HALF),
    Case("18b transposed k3 s2, odd", transposed(3, 2, 1, 1), 12, 11, {5, 6}, 2, 1, HALF),
    Case("18c transposed k3 s2, last row", transposed(3, 2, 1, 1), 12, 23, {11}, 2, 1, HALF),
    Case("19 transposed k2 s3, dead", transposed(2, 3), 8, 11, set(), 1, 0, THIRD),
    Case("19b transposed k3 s2 d2, odd", transposed(3, 2, dilation=2), 8, 7, set(), 3, 0, HALF),
    Case("19c transposed k3 s2 d2, even", transposed(3, 2, dilation=2), 8, 8, {2, 3, 4}, 3, 0, HALF),
    Case("22 four conv k3, at the border", chain(*(conv(3) for _ in range(4))), 16, 0, run(0, 4), 9, 9, 1),
    Case(
        "26 depthwise and pointwise",
        chain(conv(1, channels=(1, 4)), conv(3, channels=(4, 4), groups=4), conv(1, channels=(4, 2))),
        16,
        7,
        {6, 7, 8},
        3,
        3,
        1,
    ),
    Case(
        "27 x[::2], conv k3", Fn(lambda m, x: m.a(x[:, :, ::2, ::2]), a=conv(3)), 16, 3, {4, 6, 8}, 5, 5, 2, 3
    ),
    Case("31 batch norm in eval mode", nn.BatchNorm2d(1), 16, 5, {5}, 1, 1, 1),
    Case(
        "32 three valid conv k3", chain(*(conv(3, padding=0) for _ in range(3))), 16, 4, run(4, 10), 7, 7, 1
    ),
    Case(
        "crop is clipped before the next layer",
        Fn(lambda m, x: m.a(x[:, :, 2:, 2:]), a=conv(3)),
        16,
        0,
        {2, 3},
        3,
        3,
        1,
    ),
    Case(
        "two k5 a pixel apart make 6",
        Fn(lambda m, x: m.a(x)[:, :, :-1, :-1] + m.b(x)[:, :, 1:, 1:], a=conv(5), b=conv(5)),
        16,
        7,
        run(5, 10),
        6,
        6,
        1,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_worked_case_comes_out_as_by_hand(case):
    analysis = analyze(case.net, (1, case.n, case.n))
    field = analysis.output
    assert field.inputs_seen(case.o, case.o) == (case.seen, case.seen)
    assert field.size == (case.size, case.size)
    assert field.size_min == (case.size_min, case.size_min)
    assert field.jump == (case.jump, case.jump)
    assert field.pixels == ((case.pixels or case.size),) * 2
    assert ("holes" in field.flags) == (case.pixels is not None)
    assert ("dead outputs" in field.flags) == (case.size_min == 0)
    assert not field.is_global
    agrees_with_gradients(analysis)


def agrees_with_gradients(analysis, units=0):
    """Check `units` units of the last row; 0: all of them."""
    result = verify(None, analysis, units=units, rows=[analysis.rows[-1].name])
    assert result.checked > 0
    assert not result.mismatches
    assert not result.skipped


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
