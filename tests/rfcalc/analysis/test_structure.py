"""Structure: separable pairs, dilated layers, pooling and stages, read from the ops that ran."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from rfcalc.analysis.structure import SeparablePair, Structure, structure_of
from rfcalc.trace.trace import trace


def structure(model: nn.Module, size: tuple[int, ...] = (8, 16, 16)) -> Structure:
    return structure_of(trace(model, size))


class Calls(nn.Module):
    """A module around a function, so that a test can say in one line what runs."""

    def __init__(self, function, **children: nn.Module) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.function = function
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


def depthwise(**settings: int) -> nn.Conv2d:
    return nn.Conv2d(8, 8, 3, padding=1, groups=8, **settings)


class TestSeparablePairs:
    def test_norms_activations_and_dropout_may_stand_between(self) -> None:
        net = nn.Sequential(
            depthwise(), nn.BatchNorm2d(8), nn.Hardswish(), nn.Dropout(0.5), nn.SiLU(), nn.Conv2d(8, 4, 1)
        )
        assert structure(net).depthwise_separable == (SeparablePair("0", "5"),)

    def test_anything_else_between_them_parts_them(self) -> None:
        assert (
            structure(nn.Sequential(depthwise(), nn.AvgPool2d(2), nn.Conv2d(8, 4, 1))).depthwise_separable
            == ()
        )

    def test_a_squeeze_and_excite_gate_parts_them(self) -> None:
        net = Calls(
            lambda m, x: m.point((y := m.deep(x)) * torch.sigmoid(m.gate(y.mean((2, 3), keepdim=True)))),
            deep=depthwise(),
            gate=nn.Conv2d(8, 8, 1),
            point=nn.Conv2d(8, 4, 1),
        )
        assert structure(net).depthwise_separable == ()

    def test_an_activation_written_by_hand_does_not(self) -> None:
        net = Calls(
            lambda m, x: m.point((y := m.deep(x)) * torch.sigmoid(y)),
            deep=depthwise(),
            point=nn.Conv2d(8, 4, 1),
        )
        assert structure(net).depthwise_separable == (SeparablePair("deep", "point"),)

    def test_a_residual_sum_between_them_parts_them(self) -> None:
        net = Calls(lambda m, x: m.point(x + m.deep(x)), deep=depthwise(), point=nn.Conv2d(8, 4, 1))
        assert structure(net).depthwise_separable == ()

    @pytest.mark.parametrize(
        "second", [nn.Conv2d(8, 4, 3), nn.Conv2d(8, 4, 1, groups=2), nn.ConvTranspose2d(8, 4, 1)], ids=str
    )
    def test_only_a_full_one_by_one_convolution_completes_a_pair(self, second: nn.Module) -> None:
        assert structure(nn.Sequential(depthwise(), second)).depthwise_separable == ()

    def test_a_grouped_convolution_is_not_depthwise(self) -> None:
        grouped = nn.Conv2d(8, 8, 3, groups=4)
        assert structure(nn.Sequential(grouped, nn.Conv2d(8, 4, 1))).depthwise_separable == ()

    @pytest.mark.parametrize(("kernel", "pairs"), [((1, 1), 0), ((1, 3), 1), ((3, 1), 1)])
    def test_a_kernel_of_one_is_not_depthwise(self, kernel: tuple[int, int], pairs: int) -> None:
        """With groups = channels it scales every channel and reads no neighbour."""
        scaling = nn.Conv2d(8, 8, kernel, groups=8)
        assert len(structure(nn.Sequential(scaling, nn.Conv2d(8, 4, 1))).depthwise_separable) == pairs

    def test_one_channel_is_not_depthwise(self) -> None:
        net = nn.Sequential(nn.Conv2d(1, 1, 3, groups=1), nn.Conv2d(1, 4, 1))
        assert structure(net, (1, 16, 16)).depthwise_separable == ()

    def test_a_channel_multiplier_is_allowed(self) -> None:
        net = nn.Sequential(nn.Conv2d(8, 16, 3, groups=8), nn.Conv2d(16, 4, 1))
        assert len(structure(net).depthwise_separable) == 1

    def test_a_module_called_twice_makes_two_pairs(self) -> None:
        net = Calls(
            lambda m, x: m.point(m.deep(m.point(m.deep(x)))), deep=depthwise(), point=nn.Conv2d(8, 8, 1)
        )
        assert structure(net).depthwise_separable == (
            SeparablePair("deep", "point"),
            SeparablePair("deep#2", "point#2"),
        )

    def test_mobilenet_v2_has_seventeen(self) -> None:
        net = torchvision.models.mobilenet_v2(weights=None)
        assert len(structure(net, (3, 64, 64)).depthwise_separable) == 17


class TestDilated:
    def test_dilation_counts_where_the_kernel_is_larger_than_one(self) -> None:
        net = nn.Sequential(
            nn.Conv2d(8, 8, 3, dilation=2),
            nn.Conv2d(8, 8, 1, dilation=2),
            nn.Conv2d(8, 8, (1, 3), dilation=(2, 1)),
        )
        assert structure(net).dilated == ("0",)

    def test_transposed_convolutions_count_too(self) -> None:
        assert structure(nn.ConvTranspose2d(8, 8, 3, dilation=2)).dilated == ("convolution",)


class TestGlobalAveragePooling:
    @pytest.mark.parametrize(
        "pool",
        [
            nn.AdaptiveAvgPool2d(1),
            nn.AdaptiveAvgPool2d((1, 1)),
            nn.AvgPool2d(16),
            Calls(lambda m, x: x.mean((2, 3))),
            Calls(lambda m, x: x.mean((-1, -2), keepdim=True)),
            Calls(lambda m, x: x.flatten(2).mean(-1)),
            Calls(lambda m, x: x.permute(0, 2, 3, 1).mean((1, 2))),
            Calls(lambda m, x: x.flatten(2).transpose(1, 2).mean(1)),
            Calls(lambda m, x: nn.functional.avg_pool2d(x, x.shape[-2:])),
        ],
        ids=[
            "adaptive",
            "adaptive pair",
            "window",
            "mean",
            "mean keepdim",
            "flat",
            "channels last",
            "tokens",
            "F",
        ],
    )
    def test_what_averages_the_whole_map_is_found(self, pool: nn.Module) -> None:
        assert len(structure(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), pool)).global_average_pools) == 1

    @pytest.mark.parametrize(
        "other",
        [
            nn.AdaptiveAvgPool2d(2),
            nn.AvgPool2d(8),
            nn.AdaptiveMaxPool2d(1),
            Calls(lambda m, x: x.mean(1, keepdim=True)),
            Calls(lambda m, x: x.mean(3)),
            Calls(lambda m, x: x.permute(0, 2, 3, 1).mean((2, 3))),
            nn.LayerNorm(16),
        ],
        ids=["adaptive 2", "window 8", "max", "channels", "rows", "columns and channels", "layer norm"],
    )
    def test_what_does_not_is_not(self, other: nn.Module) -> None:
        assert structure(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), other)).global_average_pools == ()

    def test_one_axis_and_three_axes_work_alike(self) -> None:
        assert len(structure(nn.Sequential(nn.AdaptiveAvgPool1d(1)), (2, 9)).global_average_pools) == 1
        assert len(structure(nn.Sequential(nn.AdaptiveAvgPool3d(1)), (2, 4, 5, 6)).global_average_pools) == 1


class TestMaxPooling:
    @pytest.mark.parametrize(
        "pool",
        [
            nn.MaxPool2d(2),
            nn.AdaptiveMaxPool2d(1),
            Calls(lambda m, x: nn.functional.max_pool2d(x, 2)),
            Calls(lambda m, x: x.amax((2, 3))),
        ],
        ids=["module", "adaptive", "functional", "amax"],
    )
    def test_every_kind_is_found(self, pool: nn.Module) -> None:
        assert len(structure(nn.Sequential(pool)).max_pools) == 1

    def test_average_pooling_is_not_max_pooling(self) -> None:
        assert structure(nn.Sequential(nn.AvgPool2d(2))).max_pools == ()


class TestStages:
    def children(self, *names: str) -> Structure:
        net = Calls(lambda m, x: [x := getattr(m, name)(x) for name in names][-1])
        for name in names:
            net.add_module(name, nn.ReLU())
        return structure(net)

    @pytest.mark.parametrize(
        ("names", "stages"),
        [
            (["c1", "c2", "c3", "c4", "output"], ("c1", "c2", "c3", "c4")),
            (["conv1", "bn1", "layer1", "layer2", "layer3"], ("layer1", "layer2", "layer3")),
            (["block1", "block3"], ("block1",)),
            (["c2", "c3"], ()),
            (["stem", "features"], ()),
            (["stage_1", "stage_2"], ("stage_1", "stage_2")),
        ],
        ids=str,
    )
    def test_the_longest_family_that_counts_up_from_one(
        self, names: list[str], stages: tuple[str, ...]
    ) -> None:
        assert self.children(*names).stages == stages

    def test_resnet18_has_four(self) -> None:
        net = torchvision.models.resnet18(weights=None)
        assert structure(net, (3, 64, 64)).stages == ("layer1", "layer2", "layer3", "layer4")
