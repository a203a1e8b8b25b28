"""Counts against independent counters: sum(numel), torch.utils.flop_counter, tensors alive by hand."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from rfcalc.analysis.analyze import analyze


class Tokens(nn.Module):
    """Convolution, then linear layers of every kind over the map's positions."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, groups=1, bias=False)
        self.mix = nn.Linear(8, 5)
        self.weight = nn.Parameter(torch.ones(5, 7))
        self.over_width = nn.Linear(7, 2)

    def forward(self, x):
        x = self.mix(self.conv(x).permute(0, 2, 3, 1))
        return self.over_width(x @ self.weight)


NETS = {
    "plain": nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.Flatten(), nn.Linear(8 * 36, 10)
    ),
    "grouped and dilated": nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 12, 3, groups=4, dilation=2)
    ),
    "transposed": nn.Sequential(nn.ConvTranspose2d(3, 8, 4, 2, 1), nn.ConvTranspose2d(8, 4, 3, 3, groups=2)),
    "linear of every kind": Tokens(),
}


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_macs_are_half_of_the_flop_counter_on_convolution_and_linear(net):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 3, 16, 16))
    analysis = analyze(net, (3, 16, 16))
    assert analysis.macs * 2 == counter.get_total_flops()
    assert sum(row.macs for row in analysis.rows) == analysis.macs
    assert not analysis.uncounted


def test_macs_and_bytes_do_not_depend_on_the_batch_that_training_mode_needs():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    one, two = analyze(net, (3, 9, 9)), analyze(net, (3, 9, 9), train=True)
    assert one.macs == two.macs == 7 * 7 * 8 * 27
    assert [r.activation_bytes for r in one.rows] == [r.activation_bytes for r in two.rows]
    assert [r.output_shape for r in one.rows] == [r.output_shape for r in two.rows]
    assert one.peak_activation_bytes == two.peak_activation_bytes


def test_a_transposed_convolution_counts_input_positions():
    row = analyze(nn.ConvTranspose2d(4, 6, 3, 2), (4, 5, 5)).rows[0]
    assert row.macs == 5 * 5 * 4 * 6 * 9


def test_attention_products_are_listed_and_not_counted():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x):
            tokens = x.flatten(2).transpose(1, 2)
            return self.attention(tokens, tokens, tokens)[0]

    analysis = analyze(Attention(), (4, 3, 3))
    assert analysis.macs == 9 * 4 * 12 + 9 * 4 * 4
    assert analysis.uncounted == ("bmm",)


def test_shared_parameters_are_counted_once_and_buffers_are_not():
    shared = nn.Conv2d(4, 4, 3, padding=1)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), shared, nn.BatchNorm2d(4), shared, nn.PReLU())
    net[0].weight.requires_grad_(False)
    analysis = analyze(net, (3, 8, 8))
    assert analysis.params == sum(p.numel() for p in net.parameters())
    assert analysis.trainable_params == analysis.params - 12
    assert sum(row.params for row in analysis.rows) == analysis.params
    assert [row.params for row in analysis.rows] == [16, 148, 8, 0, 1]


def test_parameters_that_pass_through_ops_of_their_own_belong_to_the_layer_that_uses_them():
    net = torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    analysis = analyze(nn.Sequential(net), (3, 8, 8))
    assert [row.op for row in analysis.rows] == ["conv"]
    assert analysis.rows[0].params == analysis.params == 108 + 4 + 4


def test_parameters_that_forward_does_not_use_still_count():
    net = nn.Conv2d(3, 4, 3)
    net.spare = nn.Parameter(torch.ones(7))
    analysis = analyze(net, (3, 8, 8))
    assert analysis.params == 112 + 7
    assert analysis.rows[0].params == 112


def test_peak_memory_is_the_largest_sum_of_tensors_alive():
    # input 3x8x8, conv 4x8x8, pool 4x4x4: the first convolution holds its input and output.
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(2))
    assert analyze(net, (3, 8, 8)).peak_activation_bytes == 4 * (3 + 4) * 64
    # Out of place, ReLU holds two maps of four channels.
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))
    assert analyze(net, (3, 8, 8)).peak_activation_bytes == 4 * (4 + 4) * 64


def test_a_shortcut_stays_alive_until_it_is_added():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)

        def forward(self, x):
            return x + self.b(self.a(x))

    assert analyze(Residual(), (2, 4, 4)).peak_activation_bytes == 4 * 3 * 2 * 16


def test_views_share_the_memory_of_their_tensor():
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten(), nn.Unflatten(1, (3, 4, 4)), nn.Conv2d(3, 1, 1))
    assert analyze(net, (3, 4, 4)).peak_activation_bytes == 4 * 2 * 3 * 16
