"""Counts against independent counters: sum(numel), torch.utils.flop_counter."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from rfcalc.analysis.analyze import analyze
from rfcalc.analysis.view import lines_of
from rfcalc.questions.erf import effective_field
from rfcalc.questions.oracle import verify
from rfcalc.render.report import Report, facts


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
    assert [(row.name, row.op, row.params) for row in analysis.rows[1:]] == [("spare", "unused", 7)]
    assert analysis.rows[0].params == 112


def test_unused_parameters_are_a_row_of_the_outermost_module_without_a_used_one():
    net = Spare()
    analysis = analyze(net, (3, 8, 8))
    unused = {row.name: row.params for row in analysis.rows if row.op == "unused"}
    assert unused == {"head": 100 * 10 + 10 + 10 * 2 + 2, "part.second": 9 * 9 + 9}
    assert sum(row.params for row in analysis.rows) == analysis.params == numel(net)
    assert analysis.field == analyze(nn.Conv2d(3, 9, 3), (3, 8, 8)).field
    assert sum(line.params for line in lines_of(analysis)) == analysis.params


class Spare(nn.Module):
    """A head that is never called, and a block of which half is."""

    def __init__(self):
        super().__init__()
        self.part = nn.ModuleDict({"first": nn.Conv2d(3, 9, 3), "second": nn.Linear(9, 9)})
        self.head = nn.Sequential(nn.Linear(100, 10), nn.Linear(10, 2))

    def forward(self, x):
        return self.part["first"](x)


def numel(net):
    return sum(p.numel() for p in net.parameters())


def numel_of(table):
    return table.numel() if isinstance(table, nn.Parameter) else 0


class OnTable(nn.Module):
    """A map plus what a layer makes of a table of positions."""

    def __init__(self, layer, table, channels=8):
        super().__init__()
        self.c = nn.Conv2d(3, channels, 3, padding=1)
        self.pos = layer
        self.register_parameter("t", table) if isinstance(table, nn.Parameter) else self.register_buffer(
            "t", table
        )

    def forward(self, x):
        return self.c(x) + self.pos(self.t)


TABLES = {
    "a convolution of a buffer": (nn.Conv2d(32, 8, 1), torch.randn(1, 32, 16, 16), 16 * 16 * 32 * 8),
    "a convolution of a parameter": (
        nn.Conv2d(32, 8, 1),
        nn.Parameter(torch.randn(1, 32, 16, 16)),
        16 * 16 * 32 * 8,
    ),
    "a transposed convolution": (nn.ConvTranspose2d(4, 8, 2, 2), torch.randn(1, 4, 8, 8), 8 * 8 * 4 * 8 * 4),
    "a linear layer": (nn.Linear(5, 16), torch.randn(8, 16, 5), 8 * 16 * 5 * 16),
    "a perceptron": (
        nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 16)),
        torch.randn(8, 16, 5),
        8 * 16 * (5 * 7 + 7 * 16),
    ),
    "an embedding": (nn.Embedding(40, 16), torch.arange(16), 0),
    "a norm": (nn.LayerNorm(16), torch.randn(8, 16, 16), 0),
}


@pytest.mark.parametrize(("layer", "table", "macs"), TABLES.values(), ids=TABLES)
def test_a_layer_on_a_constant_has_a_row_with_its_parameters(layer, table, macs):
    net = OnTable(layer, table)
    conv = 16 * 16 * 27 * 8
    analysis, everything = analyze(net, (3, 16, 16)), analyze(net, (3, 16, 16), count_all=True)
    own = [row for row in analysis.rows if row.name.startswith("pos")]
    assert sum(row.params for row in own) == numel(layer) + numel_of(table)
    assert all(row.field.size == (0, 0) for row in own)
    assert analysis.macs == conv == sum(row.macs for row in analysis.rows)
    assert sum(analysis.uncounted_macs.values()) == macs
    assert all("on constants" in name for name in analysis.uncounted)
    assert everything.macs == conv + macs == sum(row.macs for row in everything.rows)
    assert not everything.uncounted
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 3, 16, 16))
    assert everything.macs * 2 == counter.get_total_flops()
    # What reads the sum sees the map alone, and the oracle agrees.
    assert everything.field.size == (3, 3)
    assert verify(net, everything).mismatches == ()
    assert effective_field(everything)[everything.field_row] == effective_field(everything)[0]


def test_the_making_of_a_weight_is_no_layer():
    class LowRank(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Parameter(torch.randn(6, 2)), nn.Parameter(torch.randn(2, 3))

        def forward(self, x):
            return torch.nn.functional.linear(x.flatten(2).transpose(1, 2), self.a @ self.b)

    net = nn.Sequential(LowRank())
    analysis = analyze(net, (3, 4, 4))
    assert [row.op for row in analysis.rows] == ["linear"]
    assert analysis.rows[0].params == analysis.params == 18
    assert analysis.macs == 16 * 3 * 6
    assert analysis.uncounted_macs == {"mm on constants": 6 * 2 * 3}
    assert analyze(net, (3, 4, 4), count_all=True).rows[0].macs == 16 * 3 * 6 + 6 * 2 * 3


class Steps(nn.Module):
    """A recurrent layer on (N, features, time)."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.transpose(1, 2))[0].transpose(1, 2)


class Cell(nn.Module):
    """A recurrent cell, called step by step."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        state = None
        for t in range(x.shape[2]):
            state = self.cell(x[:, :, t], state)
        return state[0] if isinstance(state, tuple) else state


RECURRENT = {
    "LSTM": (Steps(nn.LSTM(8, 16, batch_first=True)), 50 * 4 * 16 * (8 + 16)),
    "two layers, both ways": (
        Steps(nn.LSTM(8, 16, 2, batch_first=True, bidirectional=True)),
        50 * 2 * 4 * 16 * (8 + 16) + 50 * 2 * 4 * 16 * (32 + 16),
    ),
    "LSTM without bias": (Steps(nn.LSTM(8, 16, bias=False, batch_first=True)), 50 * 4 * 16 * (8 + 16)),
    "GRU": (Steps(nn.GRU(8, 16, batch_first=True)), 50 * 3 * 16 * (8 + 16)),
    "RNN": (Steps(nn.RNN(8, 16, batch_first=True)), 50 * 16 * (8 + 16)),
    "LSTMCell": (Cell(nn.LSTMCell(8, 16)), 50 * 4 * 16 * (8 + 16)),
    "GRUCell": (Cell(nn.GRUCell(8, 16)), 50 * 3 * 16 * (8 + 16)),
    "RNNCell": (Cell(nn.RNNCell(8, 16)), 50 * 16 * (8 + 16)),
}


@pytest.mark.parametrize(("net", "macs"), RECURRENT.values(), ids=RECURRENT)
def test_recurrent_layers_multiply_all_weights_at_every_step(net, macs):
    analysis, everything = analyze(net, (8, 50)), analyze(net, (8, 50), count_all=True)
    assert everything.macs == macs == sum(row.macs for row in everything.rows)
    # By the convention all but the first step's product with a state of zeros, which is a constant.
    assert analysis.macs + sum(analysis.uncounted_macs.values()) == macs
    assert analysis.macs >= macs * 0.95
    assert sum(row.params for row in analysis.rows) == numel(net)


def test_a_bilinear_layer_has_a_size():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pair = nn.Conv2d(3, 5, 3, padding=1), nn.Bilinear(5, 3, 4)

        def forward(self, x):
            return self.pair(self.conv(x).movedim(1, -1), x.movedim(1, -1)).movedim(-1, 1)

    net = Net()
    analysis, everything = analyze(net, (3, 6, 7)), analyze(net, (3, 6, 7), count_all=True)
    assert dict(analysis.uncounted_macs) == {"_trilinear": 6 * 7 * 5 * 3 * 4}
    assert everything.macs - analysis.macs == 6 * 7 * 5 * 3 * 4
    assert sum(row.params for row in analysis.rows) == numel(net)
    assert (analysis.field.size, analysis.field.jump) == ((3, 3), (1, 1))
    assert not analysis.output.flags & {"probed", "unknown"}
    assert verify(net, analysis).ok


def test_the_report_names_what_it_leaves_out_with_its_size():
    net = OnTable(nn.Conv2d(32, 8, 1), torch.randn(1, 32, 16, 16))
    facts_of = [
        dict(facts(Report("t", "Net", False, analyze(net, (3, 16, 16), count_all=c)))) for c in (False, True)
    ]
    left_out = "not counted: convolution on constants 65,536 (--count-all counts them)"
    assert facts_of[0]["MACs"] == f"55,296 (55.3 k) for one image; {left_out}"
    assert facts_of[1]["MACs"].startswith("120,832 (121 k) for one image, with attention products")
