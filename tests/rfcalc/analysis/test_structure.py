"""Structure: separable pairs, dilated layers, pooling and stages, read from the ops that ran."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from rfcalc import Budget, analyze, judge
from rfcalc.analysis.structure import PartialPool, SeparablePair, Structure, structure_of
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


def _squeezed(m: Any, x: torch.Tensor) -> torch.Tensor:
    gate: torch.Tensor = m.excite(m.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
    return gate


def _block_attention(m: Any, x: torch.Tensor) -> torch.Tensor:
    x = x * _squeezed(m, x)
    return x * m.spatial(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)).sigmoid()


GATES: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "squeeze and excite": lambda m, x: x * _squeezed(m, x),
    "gate first": lambda m, x: _squeezed(m, x) * x,
    "in place": lambda m, x: x.mul_(_squeezed(m, x)),
    "a vector through linear layers": lambda m, x: x * m.linear(x.mean((2, 3))).sigmoid()[:, :, None, None],
    "expanded": lambda m, x: x * _squeezed(m, x).expand_as(x),
    "along channels": lambda m, x: (
        x * m.along(x.mean((2, 3)).unsqueeze(1)).sigmoid().transpose(1, 2).unsqueeze(3)
    ),
    "channels, then places": _block_attention,
    "a factor for each place": lambda m, x: x * x.mean(1, keepdim=True).sigmoid(),
}


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

    @pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
    def test_a_gate_does_not_part_them(self, gate: Callable[[Any, torch.Tensor], torch.Tensor]) -> None:
        net = Calls(
            lambda m, x: m.point(gate(m, m.norm(m.deep(x)).relu())),
            deep=depthwise(),
            norm=nn.BatchNorm2d(8),
            squeeze=nn.Conv2d(8, 2, 1),
            excite=nn.Conv2d(2, 8, 1),
            linear=nn.Linear(8, 8),
            along=nn.Conv1d(1, 1, 3, padding=1),
            spatial=nn.Conv2d(2, 1, 7, padding=3),
            point=nn.Conv2d(8, 4, 1),
        )
        assert structure(net).depthwise_separable == (SeparablePair("deep", "point"),)

    def test_a_gate_of_the_block_s_input_does_not_part_them(self) -> None:
        net = Calls(
            lambda m, x: m.point(m.deep(x) * m.excite(m.squeeze(x.mean((2, 3), keepdim=True))).sigmoid()),
            deep=depthwise(),
            squeeze=nn.Conv2d(8, 2, 1),
            excite=nn.Conv2d(2, 8, 1),
            point=nn.Conv2d(8, 4, 1),
        )
        assert structure(net).depthwise_separable == (SeparablePair("deep", "point"),)

    def test_a_product_with_another_map_parts_them(self) -> None:
        net = Calls(lambda m, x: m.point(x * m.deep(x)), deep=depthwise(), point=nn.Conv2d(8, 4, 1))
        assert structure(net).depthwise_separable == ()

    def test_mobilenet_v3_has_a_pair_in_every_block(self) -> None:
        net = torchvision.models.mobilenet_v3_small(weights=None)
        assert len(structure(net, (3, 64, 64)).depthwise_separable) == 11

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

    @pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
    @pytest.mark.parametrize("side", [16, 1], ids=["a map", "a map of one place"])
    def test_the_squeeze_of_a_gate_is_no_pooling_before_the_output(
        self, gate: Callable[[Any, torch.Tensor], torch.Tensor], side: int
    ) -> None:
        parts = {
            "squeeze": nn.Conv2d(8, 2, 1),
            "excite": nn.Conv2d(2, 8, 1),
            "linear": nn.Linear(8, 8),
            "along": nn.Conv1d(1, 1, 3, padding=1),
            "spatial": nn.Conv2d(2, 1, 7, padding=3),
        }
        flat = Calls(lambda m, x: m.head(gate(m, x * 1).flatten(1)), head=nn.Linear(8 * side**2, 9), **parts)
        pooled = Calls(lambda m, x: m.head(gate(m, x * 1).mean((2, 3))), head=nn.Linear(8, 9), **parts)
        size = (8, side, side)
        assert structure(flat, size).global_average_pools == ()
        assert len(structure(pooled, size).global_average_pools) == 1

    def test_a_pooled_vector_beside_another_is_before_the_output(self) -> None:
        both = Calls(
            lambda m, x: m.head(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)), head=nn.Linear(16, 9)
        )
        assert structure(both).global_average_pools == ("mean",)

    def test_image_pooling_in_a_branch_is_none(self) -> None:
        aspp = Calls(
            lambda m, x: torch.cat([m.c(x), x.mean((2, 3), keepdim=True).expand_as(x)], 1),
            c=nn.Conv2d(8, 8, 1),
        )
        found = structure(aspp)
        assert (found.global_average_pools, found.gate_pools) == ((), ("mean",))

    @pytest.mark.parametrize(
        ("pool", "window"),
        [(nn.AvgPool2d(14), (14, 14)), (nn.AvgPool2d(15, 1), (15, 15)), (nn.AdaptiveAvgPool2d(2), (8, 8))],
        ids=["14 of 16", "15 of 16", "halves"],
    )
    def test_a_pooling_that_is_nearly_global_says_why_it_is_not(
        self, pool: nn.Module, window: tuple[int, int]
    ) -> None:
        net = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), pool, nn.Flatten(), nn.LazyLinear(4))
        net(torch.zeros(1, 8, 16, 16))
        found = structure(net)
        assert found.global_average_pools == ()
        assert found.partial_pools == (PartialPool("1", window, (16, 16)),)
        limit = judge(analyze(net, (8, 16, 16)), Budget(require_gap=True)).limits[0]
        assert limit.held is False
        assert limit.note == f"1 averages {window[0]}x{window[1]} of the 16x16 map, not all of it"

    def test_the_field_is_judged_before_a_nearly_global_pooling(self) -> None:
        parts = [nn.Conv2d(8, 8, 3, padding=1), nn.AvgPool2d(14), nn.Conv2d(8, 8, 1), nn.Flatten()]
        assert analyze(nn.Sequential(*parts), (8, 16, 16)).field.size == (3, 3)
        # A pooling inside of the network leaves a map, and is part of the features.
        parts[1] = nn.AvgPool2d(2)
        assert analyze(nn.Sequential(*parts), (8, 16, 16)).field.size == (4, 4)

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
            net.add_module(name, nn.ReLU() if name == "bn1" else nn.Conv2d(8, 8, 1))
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

    @pytest.mark.parametrize("others", ["bn", "act", "pool"])
    def test_families_without_layers_are_no_stages(self, others: str) -> None:
        made = {"bn": lambda: nn.BatchNorm2d(8), "act": nn.ReLU, "pool": lambda: nn.AvgPool2d(1)}[others]
        parts = [(f"block{i}", nn.Conv2d(8, 8, 3, padding=1)) for i in range(1, 5)]
        parts += [(f"{others}{i}", made()) for i in range(1, 9)]
        assert structure(nn.Sequential(OrderedDict(parts))).stages == ("block1", "block2", "block3", "block4")

    def test_classifiers_behind_the_features_are_no_stages(self) -> None:
        parts = [("conv1", nn.Conv2d(8, 4, 3)), ("conv2", nn.Conv2d(4, 2, 3)), ("flat", nn.Flatten())]
        parts += [(f"fc{i}", nn.Linear(288 if i == 1 else 10, 10)) for i in range(1, 4)]
        assert structure(nn.Sequential(OrderedDict(parts))).stages == ("conv1", "conv2")

    def test_resnet18_has_four(self) -> None:
        net = torchvision.models.resnet18(weights=None)
        assert structure(net, (3, 64, 64)).stages == ("layer1", "layer2", "layer3", "layer4")
