"""Detours around PyTorch: what leaves it and comes back is unknown, and nothing is lost."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

import rfcalc

Test = Callable[[torch.Tensor], object]


def _saved(f: torch.Tensor) -> torch.Tensor:
    file = io.BytesIO()
    torch.save(f.detach(), file)
    file.seek(0)
    out: torch.Tensor = torch.load(file, weights_only=True)
    return out


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
        lambda f: pickle.loads(pickle.dumps(f.detach())),
        lambda f: _saved(f),
    ],
    ids=["numpy", "list", "as_tensor", "dlpack", "pickle", "save"],
)
def test_a_detour_around_pytorch_is_unknown_and_nothing_is_lost(
    way: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    analysis = rfcalc.analyze(Detour(way))
    assert analysis.field.size == (5, 5)
    assert {"unknown", "upper bound"} <= analysis.field.flags
    assert analysis.macs == 32 * 32 * 8 * 9 * (3 + 8)
    assert list(dict.fromkeys(row.op for row in analysis.rows)) == ["conv", "outside"]
    assert analysis.rows[-1].op == "conv"
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


def test_a_detour_by_the_storage_is_unknown() -> None:
    def bytewise(f: torch.Tensor) -> torch.Tensor:
        found = torch.tensor(list(f.detach().untyped_storage()), dtype=torch.uint8)
        return found.view(torch.float32).view(f.shape)

    analysis = rfcalc.analyze(Detour(bytewise), input_size=(3, 3, 3))
    assert {"unknown", "upper bound"} <= analysis.rows[-1].field.flags


class Shared(nn.Module):
    """Writes a map into the memory of a fresh tensor, around PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.e = nn.Conv2d(3, 8, 3, padding=1)
        self.g = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        memory = torch.zeros(1, 8, 32, 32)
        memory.numpy()[:] = self.e(x).detach().numpy()
        out: torch.Tensor = self.g(memory)
        return out


def test_memory_that_numpy_shares_may_hold_what_has_left() -> None:
    analysis = rfcalc.analyze(Shared())
    assert analysis.field.size == (5, 5)
    assert {"unknown", "upper bound"} <= analysis.field.flags


class _Named(torch.Tensor):
    pass


def _by_data(f: torch.Tensor) -> torch.Tensor:
    out = torch.empty(1)
    out.data = f.data
    return out


def test_a_tensor_of_another_class_is_unknown() -> None:
    analysis = rfcalc.analyze(Detour(lambda f: f.as_subclass(_Named)))
    assert {"unknown", "upper bound"} <= analysis.field.flags
    assert analysis.macs == 32 * 32 * 8 * 9 * (3 + 8)


def test_a_tensor_under_another_name_is_the_same() -> None:
    analysis = rfcalc.analyze(Detour(_by_data))
    assert analysis.field.size == (5, 5)
    assert analysis.field.flags == frozenset()
    assert [row.name for row in analysis.rows] == ["e", "g"]
