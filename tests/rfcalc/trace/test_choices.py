"""Branches by value and detours around PyTorch: found, reported, and the same for all weights."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import nn

import rfcalc
from rfcalc.trace.choices import MAX_RUNS

Test = Callable[[torch.Tensor], object]


class Branching(nn.Module):
    def __init__(self, test: Test) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.gate = nn.Parameter(torch.randn(()))
        self.test = test

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.a(x)
        if self.test(y):
            y = self.b(y)
        return y


TESTS: dict[str, Test] = {
    "mean": lambda y: y.mean() > 0,
    "number": lambda y: y.mean().item() > 0.1,
    "equal": lambda y: torch.equal(y, torch.zeros_like(y)),
    "close": lambda y: torch.allclose(y, torch.zeros_like(y)),
    "place of the maximum": lambda y: int(y.flatten().argmax()) == 0,
    "chance": lambda y: torch.rand(()) < 0.5,
}


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_both_sides_of_a_branch_are_found_whatever_the_weights(test: Test, seed: int) -> None:
    torch.manual_seed(seed)
    analysis = rfcalc.analyze(Branching(test))
    assert analysis.field.size == (5, 5)
    assert analysis.macs == 32 * 32 * 8 * 9 * (3 + 8)
    assert "data-dependent" in analysis.field.flags
    assert [other.field.size for other in analysis.others] == [(3, 3)]
    assert analysis.graph.asks[0].place.startswith("test_choices.py:")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_branch_on_a_weight_is_one_too(seed: int) -> None:
    torch.manual_seed(seed)
    model = Branching(lambda y: False)
    model.test = lambda y: model.gate > 0
    assert [run.field.size for run in rfcalc.analyze(model).others] == [(3, 3)]


def test_a_check_that_raises_is_no_branch() -> None:
    def checked(y: torch.Tensor) -> bool:
        if y.isnan().any():
            raise ValueError("not a number")
        return True

    analysis = rfcalc.analyze(Branching(checked))
    assert analysis.others == ()
    assert analysis.field.flags == frozenset()


def test_nested_exits_are_all_found() -> None:
    class Exits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(nn.Conv2d(3, 3, 3) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for part in self.parts:
                x = part(x)
                if x.max() > 0.5:
                    break
            return x

    analysis = rfcalc.analyze(Exits())
    sizes = [analysis.field.size[0], *(other.field.size[0] for other in analysis.others)]
    assert sizes == [7, 5, 3]


def test_a_forward_with_many_branches_says_that_some_were_not_followed() -> None:
    def many(y: torch.Tensor) -> bool:
        return [bool(y[0, 0, 0, i] > 0) for i in range(MAX_RUNS)][-1]

    assert rfcalc.analyze(Branching(many)).graph.unexplored


def test_chance_is_left_as_it_was() -> None:
    class Chance(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * random.random() * torch.rand(())

    random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), torch.get_rng_state()
    rfcalc.analyze(Chance())
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


class Detour(nn.Module):
    def __init__(self, way: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.e = nn.Conv2d(3, 8, 3, padding=1)
        self.g = nn.Conv2d(8, 8, 3, padding=1)
        self.way = way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.g(self.way(self.e(x)))
        return out


@pytest.mark.parametrize(
    "way",
    [
        lambda f: torch.from_numpy(f.detach().cpu().numpy() * 2),
        lambda f: torch.tensor(f.tolist()),
        lambda f: torch.as_tensor(f.detach().numpy()),
        lambda f: torch.from_dlpack(f.detach()),
    ],
    ids=["numpy", "list", "as_tensor", "dlpack"],
)
def test_a_detour_around_pytorch_is_unknown_and_nothing_is_lost(
    way: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    analysis = rfcalc.analyze(Detour(way))
    assert analysis.field.size == (5, 5)
    assert {"unknown", "upper bound"} <= analysis.field.flags
    assert analysis.macs == 32 * 32 * 8 * 9 * (3 + 8)
    assert [row.op for row in analysis.rows] == ["conv", "outside", "conv"]
    assert rfcalc.analyze(Detour(lambda f: f)).field.flags == frozenset()


def test_a_constant_from_numpy_is_no_detour() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.e = nn.Conv2d(3, 3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.e(x * torch.tensor([0.5]).numpy()[0])
            return out

    assert rfcalc.analyze(Scaled()).field.flags == frozenset()
