"""assert_within: one readable message, and no way to pass by accident."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

import rfcalc
from rfcalc.errors import BudgetError
from rfcalc.testing import assert_within


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1))


def test_a_network_within_its_budget_passes_and_gives_its_analysis() -> None:
    analysis = assert_within(net(), rfcalc.Budget(max_params=808, min_receptive_field=8))
    assert analysis.params == 808
    assert analysis.field.size == (8, 8)


def test_the_message_has_every_limit_with_value_room_and_layer() -> None:
    budget = rfcalc.Budget(min_receptive_field=53, max_params=900, forbid_max_pool=True, stages=4)
    with pytest.raises(AssertionError) as caught:
        assert_within(net(), budget, input_size=(3, 16, 16))
    assert str(caught.value).splitlines() == [
        "Sequential at 3x16x16 breaks 2 of 3 limits:",
        "  BROKEN      min-receptive-field    8, must be >= 53   short by 45 (84 %)  at 2",
        "  held        max-params           808, must be <= 900  room 92             largest: 2, 584",
        "  BROKEN      forbid-max-pool      yes, must be no                          1",
        "  not judged  stages                 -, must be = 4                         "
        "no children named letters + number from 1 (c1, c2, ...)",
    ]


def test_a_budget_without_limits_is_an_error_since_nothing_could_break_it() -> None:
    with pytest.raises(BudgetError, match="no limits, so no network could break it"):
        assert_within(net(), rfcalc.Budget())


def test_a_path_names_a_budget_file(tmp_path: Path) -> None:
    path = tmp_path / "budget.toml"
    path.write_text("max-params = 807\n")
    with pytest.raises(AssertionError, match=r"BROKEN +max-params +808, must be <= 807"):
        assert_within(net(), path)


def test_without_a_budget_the_nearest_pyproject_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.rfcalc]\nmax-params = 807\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match="breaks 1 of 1 limits"):
        assert_within(net())


def test_without_any_budget_it_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rfcalc.testing.find_budget", lambda start: None)
    with pytest.raises(BudgetError, match=r"no pyproject\.toml with a \[tool\.rfcalc\] table in "):
        assert_within(net())


def test_the_model_is_left_as_it_was() -> None:
    model = net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert_within(model, rfcalc.Budget(max_params=808))
    assert model.training
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
