"""Limits of small devices: bytes in int8, forbidden ops, the smallest map; and words for numbers."""

from __future__ import annotations

import pytest
from torch import nn

import rfcalc
from rfcalc.analysis.budget import Budget, judge
from rfcalc.analysis.grouping import grouped
from rfcalc.analysis.growth import Allowed
from rfcalc.analysis.view import lines_of
from rfcalc.errors import BudgetError
from rfcalc.text import human, quantity


@pytest.fixture(scope="module")
def net() -> rfcalc.Analysis:
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU(), nn.Conv2d(8, 4, 3, stride=2)]
    return rfcalc.analyze(nn.Sequential(*layers), input_size=(3, 16, 16))


class TestBytes:
    def test_weights_of_a_matrix_take_one_byte_in_int8_and_all_others_four(
        self, net: rfcalc.Analysis
    ) -> None:
        matrices, others = 3 * 8 * 9 + 8 * 4 * 9, 8 + 8 + 8 + 4
        assert net.weight_bytes == {
            "float32": 4 * (matrices + others),
            "float16": 2 * (matrices + others),
            "int8": matrices + 4 * others,
        }

    def test_in_int8_norm_and_activation_work_in_place(self, net: rfcalc.Analysis) -> None:
        # Apart: the map of 8x16x16 twice, once as it is read and once as it is written.
        assert net.peak_bytes["float32"] == 4 * 2 * 8 * 16 * 16
        # In place: the input and the first map.
        assert net.peak_bytes["int8"] == 3 * 16 * 16 + 8 * 16 * 16

    def test_an_operand_that_is_read_again_is_not_written_over(self) -> None:
        class Residual(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv2d(8, 8, 3, padding=1)

            def forward(self, x):  # type: ignore[no-untyped-def]
                y = self.conv(x)
                return y.relu() + y

        found = rfcalc.analyze(Residual(), input_size=(8, 4, 4))
        assert found.peak_bytes["int8"] == 2 * 8 * 4 * 4

    def test_the_limit_is_judged_in_the_dtype_of_the_budget(self, net: rfcalc.Analysis) -> None:
        tight = Budget(max_peak_activation_bytes=3_000, max_weight_bytes=700)
        assert not judge(net, tight).ok
        assert judge(net, tight.with_limits({"dtype": "int8"})).ok


class TestOps:
    def test_a_forbidden_op_is_named_with_its_layer(self, net: rfcalc.Analysis) -> None:
        (limit,) = judge(net, Budget(forbid_ops=("silu", "max-pool"))).limits
        assert (limit.held, limit.note, limit.layer) == (False, "silu at 2", "2")
        assert judge(net, Budget(forbid_ops=("gelu",))).ok

    def test_an_op_that_nobody_knows_is_an_error_with_the_nearest(self, net: rfcalc.Analysis) -> None:
        with pytest.raises(BudgetError, match="no op is called 'sillu'; did you mean 'silu'"):
            judge(net, Budget(forbid_ops=("sillu",)))


def test_the_smallest_map_is_that_of_the_last_features(net: rfcalc.Analysis) -> None:
    assert judge(net, Budget(min_output_map=7)).ok
    (limit,) = judge(net, Budget(min_output_map=8)).limits
    assert (limit.value, limit.note) == (7, "7x7 at 3")


class TestNumbers:
    @pytest.mark.parametrize(
        ("text", "number"),
        [("99,999", 99_999), ("4.5M", 4_500_000), ("256 kB", 256_000), ("256KiB", 262_144), ("7", 7)],
    )
    def test_units_are_read(self, text: str, number: int) -> None:
        assert quantity(text) == number

    @pytest.mark.parametrize("text", ["", "5 ells", "1.5", "k", "1e6", "--5"])
    def test_what_is_no_whole_number_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="write a whole number"):
            quantity(text)

    @pytest.mark.parametrize(
        ("number", "text"),
        [(0, "0"), (999, "999"), (1_000, "1.00 k"), (97_912, "97.9 k"), (999_600, "1.00 M")],
    )
    def test_three_digits_are_shown(self, number: int, text: str) -> None:
        assert human(number) == text

    def test_four_billion(self) -> None:
        assert human(4_089_184_256) == "4.09 G"

    def test_a_share_is_exact_and_rounded_down(self) -> None:
        assert Allowed.parse("2%", "x").of(199) == 3
        assert Allowed.parse("0.1 %", "x").of(1000) == 1
        assert Allowed.parse("10k", "x").of(5) == 10_000


def test_modules_that_repeat_are_one_line_and_the_sums_stay() -> None:
    block = [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1)) for _ in range(5)]
    found = rfcalc.analyze(nn.Sequential(nn.Conv2d(3, 4, 1), *block), input_size=(3, 8, 8))
    lines = lines_of(found)
    shown = grouped(lines, 1)
    assert [line.row.name for line in shown] == ["0", "1 .. 5 (x 5)"]
    assert sum(line.params for line in shown) == found.params
    assert shown[-1].row.field == found.field
    assert len(grouped(lines, 2)) == len(lines)
