"""Before the first trial: what fits, what breaks, what is the same network twice."""

from dataclasses import replace

import optuna
import pytest

import rfcalc
from models.layers import LayerSpec, StageSpec
from models.presets import PRESETS
from search.errors import SearchError
from search.propose.gate import Gate
from search.propose.limits import project_budget
from search.propose.proposals import Proposals, enqueue_anchors
from search.propose.sampler import GatedSampler
from search.propose.screening import check_base, screen, summary
from search.propose.space import WidthSpace
from search.propose.space_full import FullSpace

SIZE = (3, 32, 32)
BUDGET = project_budget()
FULL = FullSpace(SIZE, 10, BUDGET.max_params)
TINY = WidthSpace(PRESETS["tiny"], BUDGET.max_params)


def test_the_counts_of_a_screening_add_up() -> None:
    found = screen(FULL, Gate(BUDGET, SIZE), seed=0, count=150)
    assert found.drawn == 150
    assert found.fit + sum(found.broken.values()) == 150
    assert 0 < found.networks <= found.fit
    assert found.macs[0] < found.macs[1] < found.macs[2]
    assert screen(FULL, Gate(BUDGET, SIZE), seed=0, count=150) == found
    assert summary(found).startswith(f"150 proposals by arithmetic alone: {found.fit} fit (")


def test_a_limit_on_macs_is_one_of_the_reasons() -> None:
    tight = screen(FULL, Gate(replace(BUDGET, max_macs=12_000_000), SIZE), seed=0, count=150)
    assert tight.broken["max_macs"] > 20
    assert tight.macs[2] <= 12_000_000


def test_a_screening_counts_no_rejections_of_the_search(small_space: WidthSpace) -> None:
    gate = Gate(replace(BUDGET, max_params=10**9), SIZE)
    assert screen(small_space, gate, seed=0).drawn == small_space.size == 9
    assert not gate.rejections


def test_a_space_without_a_network_that_fits_says_what_is_missing() -> None:
    gate = Gate(replace(BUDGET, min_receptive_field=2_000), SIZE)
    with pytest.raises(
        SearchError, match=r"none of 40 networks .* min_receptive_field \d+ \(the nearest by 1,"
    ):
        screen(FULL, gate, seed=0, count=40)


def test_a_limit_that_only_the_built_network_shows_is_met_before_the_search_begins() -> None:
    gate = Gate(replace(BUDGET, max_weight_bytes=10), SIZE)
    with pytest.raises(SearchError, match=r"none of \d networks .* max_weight_bytes \(the nearest by \d"):
        screen(FULL, gate, seed=0, count=12)


def test_a_base_that_no_width_makes_fit_is_refused_with_every_limit_and_by_how_much() -> None:
    plain = StageSpec((LayerSpec("conv", 16),))
    base = replace(PRESETS["tiny"], stem=StageSpec(), c1=plain, c2=plain, c3=plain, c4=plain)
    with pytest.raises(SearchError) as caught:
        check_base("mine.json", WidthSpace(base, 99_999), BUDGET)
    text = str(caught.value)
    assert text.startswith("--base mine.json: no width makes it fit the budget; impossible are: ")
    assert "min_receptive_field, at least 53: 9 at the narrowest, 44 too few" in text
    assert "min_depthwise_separable, at least 2: 0 at the narrowest, 2 too few" in text
    with pytest.raises(
        SearchError, match=r"max_params, at most 300: [\d,]+ at the narrowest, [\d,]+ too many"
    ):
        check_base("tiny", TINY, rfcalc.Budget(max_params=300))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_widths_that_fit(name: str) -> None:
    check_base(name, WidthSpace(PRESETS[name], BUDGET.max_params), BUDGET)


def test_the_same_network_is_let_through_once() -> None:
    gate = Gate(BUDGET, SIZE)
    proposals = Proposals(TINY, gate)
    one = {"c2_ratio": 1.0, "c3_ratio": 1.0, "c4_ratio": 1.0}
    assert proposals.admits(one)
    assert not proposals.admits(dict(one))
    assert gate.rejections == {"duplicate": 1}
    fresh = Proposals(TINY, gate)
    fresh.remember(one)  # as a resumed search does
    assert not fresh.admits(one)


def test_values_that_do_not_go_together_are_counted_not_raised() -> None:
    gate = Gate(BUDGET, SIZE)
    values = {**FULL.anchors()["tiny"], "transposed": "c3", "strides": "c3+c4"}
    assert not Proposals(FULL, gate).admits(values)
    too_large = FullSpace(SIZE, 10, 2_000)
    assert not Proposals(too_large, gate).admits(FULL.anchors()["near residual"])
    assert gate.rejections == {"not a network": 1, "max_params": 1}


def test_anchors_are_the_first_trials_of_a_new_study_alone() -> None:
    gate = Gate(replace(BUDGET, max_macs=12_000_000), SIZE)
    proposals = Proposals(FULL, gate)
    study = optuna.create_study(
        direction="maximize", sampler=GatedSampler(FULL, proposals.admits, 0, note=proposals.remember)
    )
    assert enqueue_anchors(study, FULL, proposals) == ["tiny"]
    assert enqueue_anchors(study, FULL, proposals) == []
    first = study.ask(FULL.distributions)
    assert first.params == FULL.anchors()["tiny"]
    assert first.user_attrs == {"anchor": "tiny"}
    assert study.ask(FULL.distributions).params != first.params
    assert gate.rejections["max_macs"] >= 3
