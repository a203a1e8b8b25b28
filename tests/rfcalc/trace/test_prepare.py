"""Models that are no plain eager network: built, looked through, or refused in a sentence with a way out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parameter import is_lazy

import rfcalc
from rfcalc.errors import ForwardError, LoadError, RfcalcError


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.LazyConv2d(8, 3, padding=1)
        self.f = nn.LazyLinear(10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.f(self.a(x).flatten(1))
        return out


def test_lazy_layers_are_built_in_a_copy() -> None:
    model = Lazy().train()
    state = torch.get_rng_state()
    analysis = rfcalc.analyze(model)
    assert analysis.field.size == (3, 3)
    assert analysis.params == 224 + 32 * 32 * 8 * 10 + 10
    assert isinstance(model.a, nn.LazyConv2d)
    assert model.training
    assert model.a.training
    assert torch.equal(torch.get_rng_state(), state)


def test_lazy_layers_that_do_not_fit_are_a_sentence() -> None:
    with pytest.raises(
        ForwardError, match=r"Sequential has lazy layers, and the dry run .* failed: .*--input"
    ):
        rfcalc.analyze(nn.Sequential(nn.LazyConv2d(4, 3), nn.Conv2d(5, 4, 3)))


def quantised() -> nn.Module:
    torch.backends.quantized.engine = "fbgemm"
    from torch.ao import quantization

    model = nn.Sequential(quantization.QuantStub(), nn.Conv2d(3, 8, 3), quantization.DeQuantStub()).eval()
    model.qconfig = quantization.get_default_qconfig("fbgemm")
    quantization.prepare(model, inplace=True)
    model(torch.randn(1, 3, 8, 8))
    converted: nn.Module = quantization.convert(model)
    return converted


class QuantisedOp(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)
        out: torch.Tensor = torch.ops.quantized.add(q, q, 0.1, 0).dequantize()
        return out


class Asynchronous(nn.Module):
    async def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Headless(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 4, 3)


class Yielding(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        yield x


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.jit.script(nn.Sequential(nn.Conv2d(3, 8, 3))), "TorchScript .* name the eager module"),
        (
            lambda: torch.jit.trace(nn.Conv2d(3, 8, 3), torch.zeros(1, 3, 8, 8)),
            "TorchScript .* name the eager module",
        ),
        (lambda: nn.Sequential(torch.jit.script(nn.Conv2d(3, 8, 3))), "'0' of Sequential is TorchScript"),
        (
            lambda: torch.jit.trace(lambda x: x + 1, torch.zeros(1)),
            "TorchScript .* name the eager module",
        ),
        (
            lambda: torch.export.export(nn.Conv2d(3, 8, 3), (torch.zeros(1, 3, 8, 8),)),
            "a torch.export program.*name the eager module",
        ),
        (quantised, "'0' of Sequential is a quantised layer .*float network, before convert"),
        (QuantisedOp, "calls quantised ops.*name the float network"),
        (
            lambda: torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(32, 4)), {nn.Linear}),
            "quantised layer .*float network",
        ),
        (Asynchronous, "asynchronous: its forward.. is `async def`.*write `def forward`"),
        (Headless, r"Headless has no forward\(\); name one of its parts, or write one: net \(Conv2d\)"),
        (Yielding, "returned no tensor but a generator; return the tensors"),
        (lambda: "resnet50", "no torch.nn.Module but of the type str"),
        (lambda: nn.Conv2d, "no torch.nn.Module but of the type type"),
    ],
)
def test_what_is_no_eager_network_is_named_with_the_way_out(make: Any, message: str) -> None:
    model = make()
    with pytest.raises(RfcalcError, match=message):
        rfcalc.analyze(model)


@pytest.mark.filterwarnings("ignore")
def test_a_module_made_from_an_export_is_analysed() -> None:
    exported = torch.export.export(nn.Conv2d(3, 8, 3), (torch.zeros(1, 3, 32, 32),)).module()
    assert rfcalc.analyze(exported).field.size == (3, 3)
    traced = torch.fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 8, 5)))
    assert rfcalc.analyze(copy.deepcopy(traced)).field.size == (5, 5)


def test_lazy_buffers_are_built_too() -> None:
    model = nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU())
    assert rfcalc.analyze(model).params == 224 + 16
    assert all(is_lazy(buffer) for buffer in model.buffers() if buffer.dtype.is_floating_point)


def test_a_model_that_was_never_initialised_is_a_sentence() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            pass

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    with pytest.raises(LoadError, match=r"Net does not call super\(\).__init__\(\)"):
        rfcalc.analyze(Net())
