"""The effective receptive field: closed form against known figures and against profiles computed by torch."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

import rfcalc
from rfcalc.errors import UsageError
from rfcalc.questions.erf import effective_field, measured
from rfcalc.render.erf_plot import draw, spread_of


def sigma(model: nn.Module, size: tuple[int, ...]) -> tuple[float | None, ...]:
    analysis = rfcalc.analyze(model, input_size=size)
    return effective_field(analysis)[-1]


def profile_sigma(model: nn.Module, size: tuple[int, ...]) -> tuple[float, ...]:
    """Sigma of the centre unit's gradient per axis, all weights equal, in float64: an independent oracle."""
    model = model.double().eval()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1.0)
    x = torch.zeros((1, *size), dtype=torch.float64, requires_grad=True)
    y = model(x)
    unit = y[(0, slice(None), *(n // 2 for n in y.shape[2:]))]
    (gradient,) = torch.autograd.grad(unit.sum(), x)
    influence = gradient[0].sum(0)
    sigmas = []
    for axis, length in enumerate(influence.shape):
        weights = influence.movedim(axis, 0).reshape(length, -1).sum(1)
        weights = weights / weights.sum()
        places = torch.arange(length, dtype=torch.float64)
        mean = (weights * places).sum()
        sigmas.append(float((weights * (places - mean) ** 2).sum().sqrt()))
    return tuple(sigmas)


def chain(count: int, **settings: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Conv2d(1, 1, 3, bias=False, **settings) for _ in range(count)))


class TestClosedForm:
    @pytest.mark.parametrize(
        ("model", "size", "expected"),
        [
            (chain(10, padding=1), 8, 2.581989),
            (chain(40, padding=1), 8, 5.163978),
            (chain(3, padding=2, dilation=2), 8, 2.828427),
        ],
        ids=["10 x conv3", "40 x conv3", "3 x conv3 d2"],
    )
    def test_known_values(self, model: nn.Module, size: int, expected: float) -> None:
        assert sigma(model, (1, size, size)) == pytest.approx((expected, expected), abs=1e-6)

    def test_vgg16(self) -> None:
        with torch.device("meta"):
            model = torchvision.models.vgg16(weights=None).features
        assert sigma(model, (3, 224, 224)) == pytest.approx((27.639042, 27.639042), abs=1e-6)

    @pytest.mark.parametrize(
        "model",
        [
            nn.Sequential(nn.Conv2d(1, 1, (3, 5), stride=(1, 2), bias=False), nn.Conv2d(1, 1, 3, bias=False)),
            nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(1, 1, 3, dilation=3, bias=False)),
            nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4, 1, 3, bias=False)),
        ],
        ids=["axes differ", "pool", "unshuffle"],
    )
    def test_a_chain_has_exactly_the_spread_of_its_gradient(self, model: nn.Module) -> None:
        assert sigma(model, (1, 48, 48)) == pytest.approx(profile_sigma(model, (1, 48, 48)), abs=1e-9)

    def test_branches_weigh_the_same(self) -> None:
        class Two(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.wide = nn.Conv2d(1, 1, 5, padding=2, bias=False)
                self.narrow = nn.Conv2d(1, 1, 3, padding=1, bias=False)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.wide(x) + self.narrow(x)

        variance = ((25 - 1) / 12 + (9 - 1) / 12) / 2
        assert sigma(Two(), (1, 16, 16)) == pytest.approx((variance**0.5,) * 2)

    def test_a_shift_between_branches_counts(self) -> None:
        class Shifted(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                left = nn.functional.avg_pool2d(nn.functional.pad(x, (4, 0, 0, 0)), (1, 3), stride=1)[
                    ..., :12
                ]
                right = nn.functional.avg_pool2d(nn.functional.pad(x, (0, 4, 0, 0)), (1, 3), stride=1)[
                    ..., :12
                ]
                return left + right

        assert sigma(Shifted(), (1, 12, 12)) == pytest.approx((0.0, (8 / 12 + 4.0) ** 0.5))

    def test_behind_a_global_operation_there_is_none(self) -> None:
        assert sigma(nn.Sequential(nn.Conv2d(1, 1, 3), nn.AdaptiveAvgPool2d(1)), (1, 8, 8)) == (None, None)


class TestMeasured:
    def test_it_is_the_gradient_of_the_centre_unit(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3, padding=1)
        ).eval()
        analysis = rfcalc.analyze(model, input_size=(2, 9, 9))
        found = measured(analysis, analysis.rows[-1], images=2)
        x = torch.zeros(1, 2, 9, 9, requires_grad=True)
        (gradient,) = torch.autograd.grad(model(x)[0, :, 4, 4].sum(), x)
        expected = gradient[0].abs().sum(0).double()
        torch.testing.assert_close(found, expected / expected.sum(), rtol=1e-4, atol=1e-7)

    def test_ops_in_place_and_writes_through_views_are_replayed(self) -> None:
        class Writes(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(1, 2, 3, padding=1)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                y = self.conv(x)
                y[:, 0].mul_(0.0)
                return nn.functional.relu_(y + 10.0)

        torch.manual_seed(0)
        model = Writes()
        analysis = rfcalc.analyze(model, input_size=(1, 7, 7))
        found = measured(analysis, analysis.rows[-1], images=1)
        expected = torch.zeros(7, 7, dtype=torch.float64)
        expected[2:5, 2:5] = model.conv.weight[1, 0].detach().abs().double()
        torch.testing.assert_close(found, expected / expected.sum(), rtol=1e-5, atol=1e-8)

    def test_nothing_lies_outside_of_the_receptive_field(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Conv2d(2, 2, 3, dilation=2))
        analysis = rfcalc.analyze(model, input_size=(1, 15, 15))
        row = analysis.rows[-1]
        found = measured(analysis, row)
        mask = row.field.mask(*(n // 2 for n in row.field.positions))
        assert float(found[~mask].sum()) == 0.0
        assert float(found.sum()) == pytest.approx(1.0)

    def test_meta_weights_are_refused(self) -> None:
        with torch.device("meta"):
            model = nn.Conv2d(1, 1, 3)
        analysis = rfcalc.analyze(model, input_size=(1, 8, 8))
        with pytest.raises(UsageError, match="the weights are meta tensors"):
            measured(analysis, analysis.rows[-1])


class TestPicture:
    def test_it_is_a_png(self) -> None:
        pytest.importorskip("matplotlib")
        analysis = rfcalc.analyze(nn.Conv2d(1, 1, 3), input_size=(1, 9, 9))
        row = analysis.rows[-1]
        picture = draw(measured(analysis, row, images=1), row, "Net", (0.8, None))
        assert picture.startswith(b"\x89PNG\r\n")

    def test_the_spread_of_a_map_is_that_of_its_marginals(self) -> None:
        influence = torch.zeros(5, 9, dtype=torch.float64)
        influence[2, [2, 4, 6]] = 1 / 3
        assert spread_of(influence) == pytest.approx((0.0, (8 / 3) ** 0.5))

    def test_one_axis_is_refused(self) -> None:
        analysis = rfcalc.analyze(nn.Conv1d(1, 1, 3), input_size=(1, 9))
        with pytest.raises(UsageError, match="draws networks with two spatial axes; this one has 1"):
            draw(torch.ones(9) / 9, analysis.rows[-1], "Net", (0.8,))
