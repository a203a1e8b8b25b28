"""Lint: each check finds its fault, says it in numbers that are true, and is silent where there is none."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import rfcalc
from rfcalc.ops.window import window_of
from rfcalc.questions.lint import Finding, idle_share, lint
from rfcalc.questions.schedule import close_holes


def conv(kernel: int = 3, **settings: int) -> nn.Conv2d:
    padding = settings.get("dilation", 1) * (kernel // 2)
    return nn.Conv2d(4, 4, kernel, padding=padding, **settings)


def dilations(*rates: int) -> nn.Sequential:
    return nn.Sequential(*(conv(dilation=rate) for rate in rates))


def findings(model: nn.Module, check: str, size: int = 64) -> list[Finding]:
    found = lint(model, rfcalc.analyze(model, input_size=(4, size, size)))
    return [finding for finding in found if finding.check == check]


class TestHoles:
    def test_the_first_layer_with_holes_is_named(self) -> None:
        (found,) = findings(nn.Sequential(conv(1), *dilations(2, 2, 2)), "holes")
        assert found.layer == "1"
        assert found.message.startswith("sees 3 of 5 pixels")

    def test_the_schedule_for_three_times_two_is_one_two_three(self) -> None:
        (found,) = findings(dilations(2, 2, 2), "holes")
        assert found.advice.startswith("dilation 1, 2, 3 instead of 2, 2, 2 at 0, 1, 2 leaves none at 2")
        assert found.advice.endswith("sees 13 px, now 13")

    @pytest.mark.parametrize("rates", [(2, 4, 8), (4, 4), (3, 3, 3, 3), (1, 4, 4), (5, 2), (2, 2, 2, 2, 2)])
    def test_every_schedule_closes_the_holes_of_a_network_built_that_way(
        self, rates: tuple[int, ...]
    ) -> None:
        model = dilations(*rates)
        analysis = rfcalc.analyze(model, input_size=(4, 96, 96))
        schedule = close_holes(model, analysis, analysis.rows[-1])
        assert schedule is not None
        changed = dict(zip(schedule.layers, schedule.after, strict=True))
        other = dilations(*(changed.get(str(i), rate) for i, rate in enumerate(rates)))
        field = rfcalc.analyze(other, input_size=(4, 96, 96)).rows[-1].field
        assert "holes" not in field.flags
        assert field.size == schedule.size

    def test_the_model_is_left_as_it_was(self) -> None:
        model = dilations(2, 2)
        findings(model, "holes")
        assert [(layer.dilation, layer.padding) for layer in model] == [((2, 2), (2, 2))] * 2

    def test_a_stride_beyond_the_kernel_is_not_blamed_on_dilation(self) -> None:
        (found,) = findings(nn.Sequential(conv(1, stride=2), conv()), "holes")
        assert (
            found.advice
            == "an earlier stride is larger than its kernel: enlarge that kernel, or stride later"
        )

    def test_a_dense_network_has_none(self) -> None:
        assert findings(nn.Sequential(conv(), conv(dilation=2), conv(dilation=5)), "holes") == []


class TestIgnoredPixels:
    def test_a_one_by_one_stride_of_two_loses_three_quarters(self) -> None:
        (found,) = findings(nn.Sequential(conv(1, stride=2), conv()), "ignored pixels", size=8)
        assert found.layer == "0"
        assert found.message.startswith("48 of 64 pixels of the image (75 %) reach no unit of 1")

    def test_a_layer_before_it_that_looks_at_the_neighbours_saves_them(self) -> None:
        assert findings(nn.Sequential(conv(), conv(1, stride=2)), "ignored pixels", size=8) == []

    def test_a_window_that_does_not_fit_loses_the_rim(self) -> None:
        (found,) = findings(nn.Sequential(nn.Conv2d(4, 4, 3, stride=3)), "ignored pixels", size=8)
        assert found.message.startswith("28 of 64 pixels")

    def test_strides_within_the_kernel_lose_none(self) -> None:
        assert findings(nn.Sequential(conv(stride=2), conv(stride=2)), "ignored pixels") == []


class TestTransposed:
    @pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (5, 3), (4, 3)])
    def test_a_kernel_that_the_stride_does_not_divide_is_a_checkerboard(
        self, kernel: int, stride: int
    ) -> None:
        (found,) = findings(
            nn.Sequential(conv(), nn.ConvTranspose2d(4, 4, kernel, stride=stride)), "checkerboard", 16
        )
        assert found.layer == "1"

    @pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (2, 2), (6, 3), (3, 1)])
    def test_one_that_it_divides_is_none(self, kernel: int, stride: int) -> None:
        model = nn.Sequential(conv(), nn.ConvTranspose2d(4, 4, kernel, stride=stride))
        assert findings(model, "checkerboard", 16) == []
        assert findings(model, "dead outputs", 16) == []

    @pytest.mark.parametrize(
        ("kernel", "stride", "dilation"), [(2, 3, 1), (3, 2, 2), (3, 4, 2), (1, 2, 1), (4, 6, 4)]
    )
    def test_the_share_of_dead_outputs_is_that_of_empty_units(
        self, kernel: int, stride: int, dilation: int
    ) -> None:
        layer = nn.ConvTranspose2d(4, 4, kernel, stride=stride, dilation=dilation)
        (found,) = findings(nn.Sequential(layer), "dead outputs", size=24)
        field = rfcalc.analyze(layer, input_size=(4, 24, 24)).rows[0].field
        # Whole periods in the middle of the map, where no border empties a unit.
        middle = range(2 * stride * dilation, 4 * stride * dilation)
        empty = [not all(field.inputs_seen(y, x)) for y, x in itertools.product(middle, middle)]
        assert found.message.startswith(f"{100 * sum(empty) / len(empty):.3g} % of its outputs")


class TestMisaligned:
    def test_a_shift_between_branches_is_given_in_pixels(self) -> None:
        class Shifted(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.even = nn.Conv2d(4, 4, 2, stride=2)
                self.odd = nn.Conv2d(4, 4, 3, stride=2, padding=1)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.even(x) + self.odd(x)

        (found,) = findings(Shifted(), "misaligned")
        # 2x2: output 0 sees 0, 1; 3x3: -1, 0, 1: centres 0.5 and 0
        assert found.message == "shifted against even: odd by -0.5 px"

    def test_different_steps_drift_apart(self) -> None:
        class Drifting(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x[..., ::2, ::2] + x[..., :32, :32]

        (found,) = findings(Drifting(), "misaligned")
        assert found.message.startswith("its operands drift apart, their steps differ: ")

    def test_an_aligned_residual_is_not_reported(self) -> None:
        class Residual(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = conv(stride=2)
                self.skip = conv(1, stride=2)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.conv(x) + self.skip(x)

        assert findings(Residual(), "misaligned") == []


class Branches(nn.Module):
    """A map, and the same once down and up again, side by side; or one of the two alone."""

    def __init__(self, down: nn.Module, up: nn.Module, output: str = "both") -> None:
        super().__init__()
        self.first, self.deep = conv(), conv()
        self.down, self.up = down, up
        self.output = output

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.first(x)
        if self.output == "skip":
            return skip
        back = self.up(self.deep(self.down(skip)))
        return back if self.output == "back" else torch.cat([skip, back], 1)


def centres(model: nn.Module) -> list[float]:
    """Middles of what the units in the middle of a map see, for two whole periods; no border is near."""
    output = rfcalc.analyze(model, input_size=(4, 48, 48)).output
    return [(min(seen) + max(seen)) / 2 for seen in (output.inputs_seen(18 + o, 24)[0] for o in range(12))]


UP_TWO = nn.ConvTranspose2d(4, 4, 2, 2)
HALF = "by up to 0.5 px (-0.5..0.5 over the phases, 0 on average)"


class TestMisalignedPhases:
    @pytest.mark.parametrize(
        ("down", "up", "shift"),
        [
            pytest.param(nn.MaxPool2d(2), nn.Upsample(scale_factor=2), HALF, id="max pool, nearest"),
            pytest.param(nn.MaxPool2d(2), UP_TWO, HALF, id="max pool, 2x2 transposed"),
            pytest.param(
                nn.MaxPool2d(2),
                nn.Sequential(nn.Conv2d(4, 16, 1), nn.PixelShuffle(2)),
                HALF,
                id="max pool, pixel shuffle",
            ),
            pytest.param(
                nn.Conv2d(4, 4, 3, 2, 1),
                UP_TWO,
                "by up to 1 px (-1..0 over the phases, -0.5 on average)",
                id="3x3, 2x2 transposed",
            ),
            pytest.param(
                nn.AvgPool2d(3),
                nn.Upsample(scale_factor=3),
                "by up to 1 px (-1..1 over the phases, 0 on average)",
                id="thirds",
            ),
            pytest.param(
                nn.Conv2d(4, 4, 3, 2, 1), nn.ConvTranspose2d(4, 4, 3, 2, 1, 1), "", id="3x3 both ways"
            ),
            pytest.param(nn.Identity(), nn.Conv2d(4, 4, 5, padding=2), "", id="no stride"),
            pytest.param(nn.Identity(), nn.Conv2d(4, 4, 4, padding="same"), "by 0.5 px", id="even kernel"),
        ],
    )
    def test_the_largest_shift_over_the_phases_is_that_of_the_sets(
        self, down: nn.Module, up: nn.Module, shift: str
    ) -> None:
        skip, back = (centres(Branches(down, up, output)) for output in ("skip", "back"))
        shifts = [there - here for here, there in zip(skip, back, strict=True)]
        found = findings(Branches(down, up), "misaligned", size=48)
        assert bool(found) == any(shifts) == bool(shift)
        if shift:
            assert found[0].message.endswith(shift)
            largest = max(map(abs, shifts))
            assert f"{largest:g} px" in shift
            if ".." in shift:
                assert f"({min(shifts):g}..{max(shifts):g} over" in shift
                assert f", {sum(shifts) / len(shifts):g} on average" in shift

    def test_a_join_with_the_input_itself_names_it(self) -> None:
        class Shortcut(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(4, 4, (2, 3), padding="same")

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x + self.conv(x)

        (found,) = findings(Shortcut(), "misaligned")
        assert found.message == "shifted against the input: conv.conv by 0.5x0 px"

    def test_behind_a_gate_the_local_paths_are_judged(self) -> None:
        class Gated(Branches):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                skip = self.first(x)
                skip = skip * skip.mean((2, 3), keepdim=True)
                return skip + self.up(self.deep(self.down(skip)))

        (found,) = findings(Gated(nn.MaxPool2d(2), UP_TWO), "misaligned")
        assert found.message.endswith(HALF)

    def test_joins_with_the_same_shift_are_one_finding(self) -> None:
        class Repeated(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.convs = nn.ModuleList(nn.Conv2d(4, 4, 2, padding="same") for _ in range(9))

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                for layer in self.convs:
                    x = x.relu() + layer(x)
                return x

        first, *rest = findings(Repeated(), "misaligned")
        assert first.layer == "add"
        assert "; the same at add#2" in first.message
        assert first.message.endswith("and 2 more")
        assert rest == []

    def test_a_norm_and_attention_in_windows_are_no_joins_of_branches(self) -> None:
        class Windows(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                tokens = x.reshape(1, 4, 8, 8).permute(0, 2, 3, 1)
                return torch.softmax(tokens, 2) @ tokens.transpose(2, 3)

        analysis = rfcalc.analyze(Windows(), input_size=(4, 64))
        assert not any("misaligned" in row.field.flags for row in analysis.rows)


class TestIdle:
    def test_layers_that_the_whole_image_reaches_already_add_nothing(self) -> None:
        model = nn.Sequential(nn.Conv2d(4, 4, 15, padding=7), conv(), conv())
        (found,) = findings(model, "idle", size=8)
        assert found.layer == "1"
        assert found.message.endswith(f"1, 2; {2 * 148} parameters, {2 * 4 * 4 * 9 * 64:,} MACs")

    def test_a_layer_that_is_idle_at_some_positions_says_at_how_many(self) -> None:
        model = nn.Sequential(nn.Conv2d(4, 4, 7, padding=3), conv())
        (found,) = findings(model, "idle", size=8)
        assert "adds no pixel at 56.2 % of its positions" in found.message

    @pytest.mark.parametrize(("kernel", "idle"), [(3, False), (15, True)])
    def test_behind_a_gate_that_sees_the_whole_image_the_local_paths_are_judged(
        self, kernel: int, idle: bool
    ) -> None:
        class Gated(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.last = conv(kernel), conv()

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                x = self.first(x)
                return self.last(x * x.mean((2, 3), keepdim=True))

        assert [found.layer for found in findings(Gated(), "idle", size=8)] == ["last"] * idle

    def test_layers_behind_global_pooling_are_not_judged(self) -> None:
        model = nn.Sequential(conv(), nn.AdaptiveAvgPool2d(1), nn.Upsample(size=4), conv())
        assert findings(model, "idle", size=8) == []

    def test_a_productive_layer_is_not_reported(self) -> None:
        assert findings(nn.Sequential(conv(), conv(stride=2), conv()), "idle") == []

    @pytest.mark.parametrize("stride", [1, 2])
    def test_the_share_is_that_of_the_sets_compared_one_by_one(self, stride: int) -> None:
        model = nn.Sequential(nn.Conv2d(4, 4, 9, padding=4), conv(stride=stride, dilation=2))
        analysis = rfcalc.analyze(model, input_size=(4, 10, 10))
        before, after = analysis.rows[0].field, analysis.rows[1]
        window = window_of(analysis.graph, analysis.graph.nodes[after.node])
        assert window is not None
        idle = 0
        for y, x in itertools.product(*map(range, after.field.positions)):
            rows = [y * stride - 2 + 2 * t for t in range(3)]
            columns = [x * stride - 2 + 2 * t for t in range(3)]
            taps = [(r, c) for r in rows for c in columns if 0 <= r < 10 and 0 <= c < 10]
            idle += any((before.mask(*tap) == after.field.mask(y, x)).all() for tap in taps)
        total = after.field.positions[0] * after.field.positions[1]
        assert idle > 0
        assert float(idle_share(analysis, after, window)) == pytest.approx(idle / total)
