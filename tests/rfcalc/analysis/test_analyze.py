import gc
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rfcalc.analysis.analyze import analyze
from rfcalc.questions.oracle import verify


class Block(nn.Module):
    def __init__(self, channels, stride=1):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, x):
        return F.relu(self.pointwise(self.norm(self.depthwise(x))))


class C1C4(nn.Module):
    """Four stages with a dilated one, no pooling, a global average and a linear output."""

    def __init__(self):
        super().__init__()
        self.c1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.c2 = Block(8, stride=2)
        self.c3 = nn.Conv2d(16, 16, 3, padding=4, dilation=4)
        self.c4 = Block(16, stride=2)
        self.output = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))

    def forward(self, x):
        return self.output(self.c4(self.c3(self.c2(self.c1(x)))))


@pytest.fixture(scope="module")
def network():
    return analyze(C1C4(), (3, 32, 32))


def test_rows_follow_the_run_with_their_module_paths(network):
    assert [(row.name, row.op) for row in network.rows] == [
        ("c1.0", "conv"),
        ("c1.1", "batch norm"),
        ("c1.2", "relu"),
        ("c2.depthwise", "depthwise conv"),
        ("c2.norm", "batch norm"),
        ("c2.pointwise", "conv"),
        ("c2.relu", "relu"),
        ("c3", "conv"),
        ("c4.depthwise", "depthwise conv"),
        ("c4.norm", "batch norm"),
        ("c4.pointwise", "conv"),
        ("c4.relu", "relu"),
        ("output.0", "mean"),
        ("output.2", "linear"),
    ]
    assert [row.sources for row in network.rows] == [(), *((i,) for i in range(13))]


def test_the_judged_field_is_that_of_the_last_features_before_pooling(network):
    assert network.rows[network.field_row].name == "c4.relu"
    # 1 + 2 (c1) + 2 (c2) + 2 * 4 * 2 (c3) + 2 * 2 (c4)
    assert network.field.size == (25, 25)
    assert network.field.jump == (4, 4)
    assert not network.field.is_global
    assert network.output.is_global
    assert network.output.size == (25, 25)


def test_rows_carry_shapes_and_bytes_of_one_image(network):
    by_name = {row.name: row for row in network.rows}
    assert by_name["c2.pointwise"].output_shape == (16, 16, 16)
    assert by_name["c2.pointwise"].activation_bytes == 4 * 16**3
    assert by_name["output.2"].output_shape == (10,)
    assert by_name["c2.depthwise"].params == 72


def test_every_unit_of_every_row_agrees_with_the_gradient(network):
    result = verify(None, network, units=6)
    assert result.agreed == result.checked > 50
    assert not result.skipped


def test_structure_is_read_from_the_ops_under_the_rows_names(network):
    structure = network.structure
    assert [(p.depthwise, p.pointwise) for p in structure.depthwise_separable] == [
        ("c2.depthwise", "c2.pointwise"),
        ("c4.depthwise", "c4.pointwise"),
    ]
    assert structure.dilated == ("c3",)
    assert structure.global_average_pools == ("output.0",)
    assert structure.stages == ("c1", "c2", "c3", "c4")


def test_average_pooling_with_the_maps_size_is_global_pooling():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(4, 2))
    analysis = analyze(net, (3, 8, 8))
    assert analysis.field.size == (3, 3)
    assert analysis.rows[analysis.field_row].op == "conv"


def test_a_gated_network_is_judged_by_its_local_paths():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 5, padding=2)
            self.gate = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            x = self.a(x)
            x = x * torch.sigmoid(self.gate(F.adaptive_avg_pool2d(x, 1)))
            return self.b(x).mean((2, 3))

    analysis = analyze(Gated(), (3, 16, 16))
    assert analysis.rows[analysis.field_row].name == "b"
    assert analysis.field.size == (7, 7)
    assert analysis.field.is_global
    assert analysis.field.inputs_seen(0, 0)[0] == set(range(16))


def test_branches_a_pixel_apart_are_misaligned_and_aligned_ones_are_not():
    class Join(nn.Module):
        def __init__(self, kernel):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, kernel, padding=kernel // 2)

        def forward(self, x):
            return self.conv(x)[:, :, :8, :8] + x

    assert "misaligned" not in analyze(Join(3), (1, 8, 8)).output.flags
    assert "misaligned" in analyze(Join(4), (1, 8, 8)).output.flags


def test_branches_of_different_jumps_drift_apart():
    class Drift(nn.Module):
        def forward(self, x):
            return x[:, :, ::2, ::2] + x[:, :, :4, :4]

    analysis = analyze(Drift(), (1, 8, 8))
    assert {"misaligned", "size-dependent"} <= analysis.output.flags
    assert analysis.output.jump == (None, None)
    assert analysis.output.inputs_seen(3, 3) == ({3, 6}, {3, 6})


def test_picking_channels_of_joined_branches_is_called_a_bound():
    class Pick(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide = nn.Conv2d(2, 2, 5, padding=2)

        def forward(self, x):
            return torch.cat([x, self.wide(x)], 1)[:, :2]

    analysis = analyze(Pick(), (2, 8, 8))
    assert "upper bound" in analysis.output.flags
    assert analysis.output.size == (5, 5)


def test_sampling_at_computed_places_is_data_dependent():
    class Sample(nn.Module):
        def __init__(self):
            super().__init__()
            self.grid = nn.Conv2d(1, 2, 3, padding=1)

        def forward(self, x):
            return F.grid_sample(x, self.grid(x).permute(0, 2, 3, 1), align_corners=False)

    analysis = analyze(Sample(), (1, 6, 6))
    assert "data-dependent" in analysis.output.flags
    assert analysis.output.mask(0, 0).all()


def test_a_unet_sees_what_its_gradient_reaches():
    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Conv2d(i, 4, 3, padding=1) for i in (1, 4, 4))
            self.up, self.d = nn.ConvTranspose2d(4, 4, 2, 2), nn.Conv2d(8, 2, 3, padding=1)

        def forward(self, x):
            x = F.relu(self.a(x))
            y = F.relu(self.c(F.relu(self.b(F.max_pool2d(x, 2)))))
            return self.d(torch.cat([x, self.up(y)], 1))

    analysis = analyze(UNet(), (1, 12, 16))
    assert analysis.output.size == (14, 14)
    # Max pooling and 2x2 transposed convolution: half a pixel to the left and to the right in turn.
    assert "misaligned" in analysis.output.flags
    result = verify(None, analysis, units=0, rows=["d"])
    assert result.agreed == result.checked == 192


def test_a_compiled_network_has_the_rows_of_the_plain_one():
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3))
    one, other = (analyze(model, (3, 16, 16)) for model in (plain, torch.compile(plain)))
    assert [row.name for row in other.rows] == [row.name for row in one.rows]
    assert [(row.params, row.macs) for row in other.rows] == [(row.params, row.macs) for row in one.rows]
    assert other.params == sum(row.params for row in other.rows) == 108 + 8 + 74


class WrittenOutShuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1)

    def forward(self, x):
        x = self.conv(x)
        n, c, h, w = x.shape
        blocks = x.view(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3)
        return blocks.reshape(n, c // 4, 2 * h, 2 * w) + 1


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.PixelShuffle(2)),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.PixelShuffle(2)),
        WrittenOutShuffle(),
    ],
    ids=["two channels", "one channel", "as views"],
)
def test_pixel_shuffle_is_a_local_map_with_half_the_jump(model):
    analysis = analyze(model, (4, 6, 6))
    field = analysis.output
    assert not field.is_global
    assert field.positions == (12, 12)
    assert field.size == (3, 3)
    assert field.jump == (Fraction(1, 2),) * 2
    assert field.inputs_seen(4, 5) == ({1, 2, 3}, {1, 2, 3})
    result = verify(None, analysis, units=0)
    assert result.agreed == result.checked >= 36 + 144


def test_a_patch_flattened_into_channels_is_one_position():
    class Patches(nn.Module):
        def forward(self, x):
            n, c, h, w = x.shape
            patches = x.view(n, c, h // 3, 3, w // 3, 3).permute(0, 2, 4, 3, 5, 1)
            return patches.reshape(n, h // 3, w // 3, 9 * c) * 2

    field = analyze(Patches(), (4, 9, 9)).output
    assert field.positions == (3, 3)
    assert field.inputs_seen(1, 2) == ({3, 4, 5}, {6, 7, 8})


@pytest.mark.parametrize("searching", [True, False])
def test_the_search_for_garbage_goes_on_as_before(searching):
    before = gc.isenabled()
    try:
        (gc.enable if searching else gc.disable)()
        analyze(nn.Conv2d(3, 4, 3), (3, 8, 8))
        assert gc.isenabled() is searching
    finally:
        (gc.enable if before else gc.disable)()
