"""Explanations: what the layers add sums up to the extent; a what-if is true of a network built that way."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import nn

import rfcalc
from rfcalc.errors import UsageError
from rfcalc.questions.explain import Explanation, changed, dilated, explain


def conv(**settings: int) -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, **{"padding": settings.get("dilation", 1), **settings})


class Branched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv()
        self.near = conv()
        self.far = nn.Sequential(conv(stride=1), conv(dilation=2))
        self.last = conv(stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.last(self.near(x) + self.far(x))


def explained(model: nn.Module, layer: str, size: tuple[int, ...] = (4, 32, 32)) -> Explanation:
    return explain(model, rfcalc.analyze(model, input_size=size), layer)


class TestPath:
    def test_the_steps_follow_the_branch_that_sees_most(self) -> None:
        steps = explained(Branched(), "last").steps
        grown = [(step.row.name, step.adds) for step in steps if any(step.adds)]
        assert grown == [("stem", (2, 2)), ("far.0", (2, 2)), ("far.1", (4, 4)), ("last", (2, 2))]

    @pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v2"])
    def test_what_the_layers_add_sums_up_to_the_extent(self, name: str) -> None:
        with torch.device("meta"):
            model = getattr(torchvision.models, name)(weights=None)
        analysis = rfcalc.analyze(model, input_size=(3, 64, 64))
        assert analysis.field_row is not None
        row = analysis.rows[analysis.field_row]
        explanation = explain(model, analysis, row.name, what_ifs=False)
        sums = [1 + sum(step.adds[axis] for step in explanation.steps) for axis in (0, 1)]
        assert tuple(sums) == row.field.size

    def test_axes_are_told_apart(self) -> None:
        model = nn.Sequential(nn.Conv2d(4, 4, (3, 5)), nn.Conv2d(4, 4, (1, 3)))
        assert [step.adds for step in explained(model, "1").steps] == [(2, 4), (0, 2)]

    def test_the_layer_that_brings_the_whole_image_in_is_named(self) -> None:
        model = nn.Sequential(conv(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        assert explained(model, "3").global_by == "1"
        assert explained(model, "0").global_by == ""


class TestNames:
    def test_a_module_stands_for_its_last_row(self) -> None:
        assert explained(Branched(), "far").row.name == "far.1"

    def test_an_unknown_layer_is_named_with_the_nearest(self) -> None:
        with pytest.raises(UsageError, match=r"^--explain lsat: no such layer; did you mean 'last'\?$"):
            explained(Branched(), "lsat")


class TestWhatIf:
    def test_each_is_what_a_network_built_that_way_is(self) -> None:
        model = Branched()
        found = {(what_if.layer, what_if.change): what_if for what_if in explained(model, "last").what_ifs}
        other = Branched()
        other.far[1] = conv(dilation=3)
        analysis = rfcalc.analyze(other, input_size=(4, 32, 32))
        what_if = found["far.1", "dilation 2 to 3"]
        assert (what_if.size, what_if.params, what_if.macs) == (
            analysis.field.size,
            analysis.params,
            analysis.macs,
        )
        other = Branched()
        other.last = conv()
        analysis = rfcalc.analyze(other, input_size=(4, 32, 32))
        what_if = found["last", "stride 2 to 1"]
        assert (what_if.size, what_if.params, what_if.macs) == (
            analysis.field.size,
            analysis.params,
            analysis.macs,
        )

    def test_a_change_that_does_not_run_says_so(self) -> None:
        model = nn.Sequential(conv(stride=2), nn.Flatten(), nn.Linear(4 * 16 * 16, 2))
        (stride, dilation) = explained(model, "0").what_ifs
        assert (stride.change, stride.size) == ("stride 2 to 1", None)
        assert "'2'" in stride.problem
        assert dilation.size == (5, 5)

    def test_the_model_is_left_as_it_was(self) -> None:
        model = Branched()
        before = copy.deepcopy(model)
        explained(model, "last")
        for (name, one), (_, two) in zip(model.named_modules(), before.named_modules(), strict=True):
            if isinstance(one, nn.Conv2d) and isinstance(two, nn.Conv2d):
                settings = ("stride", "padding", "dilation", "_reversed_padding_repeated_twice")
                assert all(getattr(one, s) == getattr(two, s) for s in settings), name

    @pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
    def test_a_dilated_layer_keeps_the_size_of_its_output(self, mode: str) -> None:
        layer = nn.Conv2d(1, 1, (3, 5), padding=(1, 2), padding_mode=mode)
        x = torch.rand(1, 1, 16, 16)
        with changed(layer, dilated(layer, 2)):
            again = nn.Conv2d(1, 1, (3, 5), padding=(2, 4), dilation=2, padding_mode=mode)
            again.load_state_dict(layer.state_dict())
            assert layer(x).shape == (1, 1, 16, 16)
            torch.testing.assert_close(layer(x), again(x))
