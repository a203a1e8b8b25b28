"""Widths that use a parameter budget up."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import pytest

from models.arithmetic import figures
from models.fill import fill_budget, tied_stages, width_steps
from models.presets import PRESETS
from models.spec import LayerSpec, NetSpec, SpecError, StageSpec, stage_widths, with_widths


@pytest.mark.parametrize("limit", [20_000, 50_000, 99_999, 400_000])
@pytest.mark.parametrize("name", PRESETS)
def test_presets_land_in_the_last_two_percent_of_any_budget(name, limit):
    filled = fill_budget(PRESETS[name], limit)
    assert 0.98 * limit <= figures(filled).params <= limit


@pytest.mark.parametrize("name", PRESETS)
def test_no_single_stage_could_still_grow(name):
    filled = fill_budget(PRESETS[name], 99_999)
    steps, widths = width_steps(filled), stage_widths(filled)
    for group in tied_stages(filled):
        wider = [width + steps[n] * (n in group) for n, width in enumerate(widths)]
        assert figures(with_widths(filled, wider)).params > 99_999


@pytest.mark.parametrize(("name", "step", "limit"), [("tiny", 24, 69_000), ("residual", 32, 66_000)])
def test_no_trade_between_two_stages_would_use_more(name, step, limit):
    filled = fill_budget(PRESETS[name], limit, step=step)
    ties, widths, most = tied_stages(filled), stage_widths(filled), figures(filled).params
    assert most < 0.98 * limit  # trades were tried until none helped
    for (up, down), more, less in product(permutations(ties, 2), range(1, 5), range(1, 5)):
        moved = [w + step * (more * (n in up) - less * (n in down)) for n, w in enumerate(widths)]
        if min(moved) > 0:
            params = figures(with_widths(filled, moved)).params
            assert params <= most or params > limit


@pytest.mark.parametrize("name", PRESETS)
def test_filling_keeps_everything_but_widths(name):
    spec, filled = PRESETS[name], fill_budget(PRESETS[name], 50_000)
    for before, after in zip(spec.stages, filled.stages, strict=True):
        flat = [replace(layer, width=1) for layer in before.layers]
        assert [replace(layer, width=1) for layer in after.layers] == flat


def grouped(groups: int) -> NetSpec:
    c2 = StageSpec((LayerSpec("conv", 16), LayerSpec("conv", 16, groups=groups, residual=1)))
    one = StageSpec((LayerSpec("conv", 16),))
    return NetSpec("grouped", c1=one, c2=c2, c3=one, c4=StageSpec((LayerSpec("conv", 16, residual=1),)))


def test_widths_move_in_multiples_of_groups_and_tied_stages_move_together():
    spec = grouped(8)
    assert width_steps(spec) == (1, 8, 1, 1)
    assert tied_stages(spec) == [[0], [1], [2, 3]]
    _, c2, c3, c4 = stage_widths(fill_budget(spec, 30_000))
    assert c2 % 8 == 0
    assert c3 == c4


def test_a_shortcut_into_a_stage_ties_no_widths_where_a_later_layer_sets_its_width():
    into = (LayerSpec("dilated", 32, dilation=2, residual=1), LayerSpec("depthwise_separable", 64))
    c1, c3 = StageSpec((LayerSpec("conv", 32),)), StageSpec((LayerSpec("conv", 80),))
    spec = NetSpec("into", c1=c1, c2=StageSpec(into), c3=c3, c4=c3)
    assert tied_stages(spec) == [[0], [1], [2], [3]]
    filled = fill_budget(spec, 99_999, step=4)
    c1, c2 = filled.c1.layers[-1].width, filled.c2.layers
    assert [layer.width for layer in c2] == [c1, stage_widths(filled)[1]]
    assert 0.96 * 99_999 <= figures(filled).params <= 99_999


def test_where_steps_are_coarse_the_result_is_as_close_as_any_near_widths():
    """Every combination of near widths is tried here, which the solver does not do."""
    spec, limit = grouped(16), 9_000
    best = figures(fill_budget(spec, limit)).params
    near = product(range(4, 40), (16, 32), range(4, 40))
    counts = (figures(with_widths(spec, (a, b, c, c))).params for a, b, c in near)
    assert max(n for n in counts if n <= limit) - best <= 0.02 * limit


def test_a_budget_that_the_narrowest_network_breaks_is_refused():
    with pytest.raises(SpecError, match=r"tiny: the narrowest network has \d+ parameters, over 50"):
        fill_budget(PRESETS["tiny"], 50)


@pytest.mark.parametrize("name", PRESETS)
def test_widths_move_in_multiples_of_the_step_that_is_asked_for(name):
    filled = fill_budget(PRESETS[name], 99_999, step=4)
    assert all(width % 4 == 0 for width in stage_widths(filled))
    assert 0.96 * 99_999 <= figures(filled).params <= 99_999
