"""Coverage: pixel counts of every unit, against the boolean masks of the same units counted one by one."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import rfcalc
from rfcalc.analysis.coverage import seen_counts, union_size, unseen_pixels, worst_share


class Branches(nn.Module):
    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Windows(nn.Module):
    """Attention-like mixing inside 4x4 windows: no axis has a dimension of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        tiles = x.reshape(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
        return tiles.mean(1).reshape(n, h // 4, w // 4, c).permute(0, 3, 1, 2)


NETS = {
    "chain": nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, stride=2, padding=1)),
    "holes": nn.Sequential(nn.Conv2d(3, 4, 1, stride=2), nn.Conv2d(4, 4, 3, dilation=2, padding=2)),
    "cross": Branches(nn.Conv2d(3, 2, (1, 7), padding=(0, 3)), nn.Conv2d(3, 2, (7, 1), padding=(3, 0))),
    "three branches": Branches(
        nn.Conv2d(3, 2, (1, 7), padding=(0, 3)),
        nn.Conv2d(3, 2, (7, 1), padding=(3, 0)),
        nn.Conv2d(3, 2, 5, padding=4, dilation=2),
    ),
    "dead outputs": nn.Sequential(nn.ConvTranspose2d(3, 4, 2, stride=3)),
    "windows": nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Windows()),
    "global": nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1)),
    "vector": nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
    "rows only": nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d((None, 1))),
    "group norm": nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)),
}


@pytest.mark.parametrize("name", NETS)
def test_counts_are_those_of_the_masks(name: str) -> None:
    for row in rfcalc.analyze(NETS[name], input_size=(3, 16, 12)).rows:
        field = row.field
        masks = [field.mask(*index) for index in itertools.product(*map(range, field.positions))]
        counts = torch.tensor([int(mask.sum()) for mask in masks]).reshape(field.positions)
        assert torch.equal(seen_counts(field), counts)
        assert unseen_pixels(field) == 16 * 12 - int(sum(masks).bool().sum())
        assert worst_share(field) == pytest.approx(int(counts.min()) / (16 * 12))


def test_one_and_three_axes_work_alike() -> None:
    audio = rfcalc.analyze(nn.Conv1d(2, 3, 3, padding=1), input_size=(2, 10)).rows[-1].field
    assert seen_counts(audio).tolist() == [2, 3, 3, 3, 3, 3, 3, 3, 3, 2]
    volume = rfcalc.analyze(nn.Conv3d(2, 3, 3, padding=1), input_size=(2, 4, 4, 4)).rows[-1].field
    assert int(seen_counts(volume).min()) == 8
    assert int(seen_counts(volume).max()) == 27


def test_three_axes_with_branches() -> None:
    net = Branches(
        nn.Conv3d(1, 1, (1, 3, 3), padding=(0, 1, 1)), nn.Conv3d(1, 1, (3, 1, 1), padding=(1, 0, 0))
    )
    field = rfcalc.analyze(net, input_size=(1, 4, 4, 4)).rows[-1].field
    assert int(seen_counts(field)[1, 1, 1]) == 9 + 2


@pytest.mark.parametrize(
    ("products", "size"),
    [
        ([], 0),
        ([(0b111, 0b11)], 6),
        ([(0b111, 0b010), (0b010, 0b111)], 5),
        ([(0b1100, 0b11), (0b0110, 0b11), (0b0011, 0b10)], 7),
        ([(0b101,), (0b110,)], 3),
    ],
)
def test_the_size_of_a_union_of_products(products: list[tuple[int, ...]], size: int) -> None:
    assert union_size(products) == size
