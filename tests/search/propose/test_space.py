import pytest

from models.layers import STAGES
from models.presets import PRESETS
from models.spec import stage_widths
from search.propose.space import STEP, WidthSpace


@pytest.mark.parametrize("name", PRESETS)
def test_a_proposal_sets_the_widths_of_the_four_stages(name: str) -> None:
    space = WidthSpace(PRESETS[name])
    for pick in (0, -1):
        values = {dimension: widths[pick] for dimension, widths in space.choices.items()}
        widths = dict(zip(STAGES, stage_widths(space.spec(values)), strict=True))
        assert {f"{stage}_width": widths[stage] for stage in STAGES if f"{stage}_width" in values} == values
        assert all(width % STEP == 0 for width in values.values())


def test_the_space_lists_as_many_proposals_as_it_counts(small_space: WidthSpace) -> None:
    proposals = [tuple(values.values()) for values in small_space.proposals()]
    assert len(proposals) == len(set(proposals)) == small_space.size == 9


def test_optuna_draws_from_the_same_widths(small_space: WidthSpace) -> None:
    for name, distribution in small_space.distributions.items():
        for width in small_space.choices[name]:
            assert distribution._contains(float(width))
        assert not distribution._contains(float(small_space.choices[name][-1]) + STEP)
