"""Budgets: reading them, refusing impossible ones, and judging a network by them."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

import rfcalc
from rfcalc.analysis.budget import Budget, judge
from rfcalc.analysis.settings import find_budget, read_budget
from rfcalc.errors import BudgetError, RfcalcError


class Small(nn.Module):
    """Two stages, one separable pair, one dilated layer, global average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, groups=3), nn.ReLU(), nn.Conv2d(3, 8, 1))
        self.c2 = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.head = nn.Linear(8, 10)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.head(self.c2(self.c1(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def small() -> rfcalc.Analysis:
    return rfcalc.analyze(Small(), input_size=(3, 16, 16))


class TestReading:
    def test_hyphenated_keys_become_limits(self) -> None:
        budget = Budget.from_table({"min-receptive-field": 53, "require-gap": True}, "here")
        assert budget == Budget(min_receptive_field=53, require_gap=True)

    def test_an_unknown_key_is_named_with_the_nearest_known_one(self) -> None:
        with pytest.raises(
            BudgetError, match=r"^here: unknown key 'max-parms'; did you mean 'max-params'\?$"
        ):
            Budget.from_table({"max-parms": 1}, "here")

    def test_a_key_like_no_other_gets_the_whole_list(self) -> None:
        with pytest.raises(
            BudgetError, match=r"unknown key 'zzz'; known are dtype, forbid-holes, forbid-max-pool"
        ):
            Budget.from_table({"zzz": 1}, "here")

    @pytest.mark.parametrize("value", [-1, 1.5, "many", True, [1]])
    def test_an_impossible_count_is_refused_with_its_key_and_value(self, value: object) -> None:
        with pytest.raises(BudgetError, match=r"max-params must be a whole number >= 0, but got"):
            Budget(max_params=value)  # type: ignore[arg-type]

    def test_a_receptive_field_of_zero_is_no_limit(self) -> None:
        with pytest.raises(BudgetError, match=r"min-receptive-field must be a whole number >= 1, but got 0"):
            Budget(min_receptive_field=0)

    @pytest.mark.parametrize("value", [1, "yes", None])
    def test_a_yes_or_no_limit_takes_only_true_and_false(self, value: object) -> None:
        with pytest.raises(BudgetError, match=r"require-gap must be true or false, but got"):
            Budget(require_gap=value)  # type: ignore[arg-type]

    def test_the_error_is_one_that_the_command_line_catches_and_a_value_error(self) -> None:
        assert issubclass(BudgetError, RfcalcError)
        assert issubclass(BudgetError, ValueError)

    def test_a_file_may_hold_the_limits_at_its_top(self, tmp_path: Path) -> None:
        path = tmp_path / "budget.toml"
        path.write_text("max-params = 99_999\nforbid-max-pool = true\n")
        assert read_budget(path) == Budget(max_params=99_999, forbid_max_pool=True)

    def test_a_file_may_hold_them_under_tool_rfcalc(self, tmp_path: Path) -> None:
        path = tmp_path / "any.toml"
        path.write_text("[project]\nname = 'x'\n[tool.rfcalc]\nstages = 4\n")
        assert read_budget(path) == Budget(stages=4)

    def test_a_pyproject_without_the_table_is_no_budget_file(self, tmp_path: Path) -> None:
        path = tmp_path / "pyproject.toml"
        path.write_text("[project]\nname = 'x'\n")
        with pytest.raises(BudgetError, match=r"has no \[tool\.rfcalc\] table"):
            read_budget(path)

    def test_a_broken_file_is_named_with_the_place(self, tmp_path: Path) -> None:
        path = tmp_path / "budget.toml"
        path.write_text("max-params = \n")
        with pytest.raises(BudgetError, match=r"budget\.toml is not valid TOML: .*line 1"):
            read_budget(path)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("[" * 10_000, r"is not valid TOML: maximum recursion"),
            ("9" * 5_000, r"is not valid TOML: Exceeds the limit"),
            ("0x" + "f" * 5_000, r"max-params must be at most 9223372036854775807, but got a int that"),
            ("[" + "1," * 5_000 + "]", r"max-params must be a whole number >= 0, but got \[1, .*\.\.\.$"),
        ],
        ids=["brackets", "digits", "hexadecimal digits", "list"],
    )
    def test_a_hostile_value_is_one_short_line(self, tmp_path: Path, value: str, message: str) -> None:
        path = tmp_path / "budget.toml"
        path.write_text(f"max-params = {value}\n")
        with pytest.raises(BudgetError, match=message) as caught:
            read_budget(path)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(BudgetError, match=r"cannot read the budget .*none\.toml: No such file"):
            read_budget(tmp_path / "none.toml")


class TestDiscovery:
    def test_the_nearest_table_wins_and_files_without_one_are_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text("[tool.rfcalc]\nmax-params = 7\n")
        inner = tmp_path / "package" / "nets"
        inner.mkdir(parents=True)
        (inner.parent / "pyproject.toml").write_text("[project]\nname = 'x'\n")
        assert find_budget(inner) == (Budget(max_params=7), tmp_path.resolve() / "pyproject.toml")
        (inner / "pyproject.toml").write_text("[tool.rfcalc]\nmax-params = 8\n")
        found = find_budget(inner)
        assert found is not None
        assert found[0].max_params == 8

    def test_an_unknown_key_names_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text("[tool.rfcalc]\nmin-dilation = 1\n")
        with pytest.raises(
            BudgetError, match=r"pyproject\.toml \[tool\.rfcalc\]: unknown key 'min-dilation'"
        ):
            find_budget(tmp_path)

    def test_this_project_has_one(self) -> None:
        found = find_budget(Path(__file__).parent)
        assert found is not None
        assert found[0].min_receptive_field == 53
        assert found[0].max_params == 99_999


class TestJudging:
    def test_a_margin_of_zero_holds_and_one_more_breaks(self, small: rfcalc.Analysis) -> None:
        exact = judge(small, Budget(max_params=small.params))
        assert exact.ok
        assert exact.margins == {"max_params": 0}
        over = judge(small, Budget(max_params=small.params - 1))
        assert not over.ok
        assert over.margins == {"max_params": 1}

    def test_a_minimum_counts_the_other_way(self, small: rfcalc.Analysis) -> None:
        # conv3 then conv3 with dilation 2: 3 + 2 * 2 = 7 pixels
        assert judge(small, Budget(min_receptive_field=7)).margins == {"min_receptive_field": 0}
        assert judge(small, Budget(min_receptive_field=10)).margins == {"min_receptive_field": 3}
        assert judge(small, Budget(min_receptive_field=2)).margins == {"min_receptive_field": -5}

    def test_yes_or_no_limits_have_the_margins_zero_and_one(self, small: rfcalc.Analysis) -> None:
        verdict = judge(small, Budget(require_gap=True, forbid_max_pool=True))
        assert verdict.margins == {"require_gap": 0, "forbid_max_pool": 0}
        pooled = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2))
        verdict = judge(
            rfcalc.analyze(pooled, input_size=(3, 16, 16)), Budget(require_gap=True, forbid_max_pool=True)
        )
        assert verdict.margins == {"require_gap": 1, "forbid_max_pool": 1}

    def test_a_false_or_absent_limit_is_not_judged(self, small: rfcalc.Analysis) -> None:
        assert judge(small, Budget(require_gap=False)).limits == ()

    def test_stages_must_be_met_exactly(self, small: rfcalc.Analysis) -> None:
        assert judge(small, Budget(stages=2)).margins == {"stages": 0}
        assert judge(small, Budget(stages=4)).margins == {"stages": 2}
        assert judge(small, Budget(stages=1)).margins == {"stages": 1}

    def test_a_network_without_stages_is_neither_held_nor_broken(self) -> None:
        plain = rfcalc.analyze(nn.Sequential(nn.Conv2d(3, 4, 3)), input_size=(3, 16, 16))
        (limit,) = judge(plain, Budget(stages=4)).limits
        assert (limit.held, limit.value, limit.margin) == (None, None, None)
        assert judge(plain, Budget(stages=4)).ok
        assert judge(plain, Budget(stages=4)).margins == {}

    def test_every_limit_names_the_layer_to_look_at(self, small: rfcalc.Analysis) -> None:
        budget = Budget(
            min_receptive_field=53,
            max_params=1,
            max_macs=1,
            min_depthwise_separable=2,
            min_dilated=2,
            stages=2,
        )
        notes = {limit.name: limit.note for limit in judge(small, budget).limits}
        assert notes["min_receptive_field"] == "at c2"
        assert notes["max_params"] == "largest: c2, 584"
        assert notes["max_macs"] == f"largest: c2, {8 * 8 * 9 * 16 * 16:,}"
        assert notes["min_depthwise_separable"] == "c1.0 + c1.2"
        assert notes["min_dilated"] == "c2"
        assert notes["stages"] == "c1, c2"

    def test_holes_are_blamed_on_the_first_layer_that_has_them(self) -> None:
        gridded = nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, dilation=2), nn.Conv2d(4, 4, 3, dilation=2)
        )
        (limit,) = judge(rfcalc.analyze(gridded, input_size=(3, 32, 32)), Budget(forbid_holes=True)).limits
        assert (limit.margin, limit.note) == (1, "first at 1")

    def test_the_smaller_axis_is_judged(self) -> None:
        wide = rfcalc.analyze(nn.Conv2d(3, 4, (3, 9)), input_size=(3, 32, 32))
        assert judge(wide, Budget(min_receptive_field=5)).margins == {"min_receptive_field": 2}
