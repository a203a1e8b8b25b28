from collections.abc import Callable, Mapping

import optuna
import pytest

from search.propose.sampler import ExhaustedError, GatedSampler, trial_seed
from search.propose.space import WidthSpace

Values = Mapping[str, int]


def _study(sampler: GatedSampler) -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=sampler)


def _train(study: optuna.Study, space: WidthSpace, count: int) -> list[dict[str, int]]:
    """Ask and tell; the score grows with the first two widths."""
    asked = []
    for _ in range(count):
        trial = study.ask(space.distributions)
        asked.append(dict(trial.params))
        study.tell(trial, trial.params["c1_width"] + trial.params["c2_width"] / 100)
    return asked


def test_a_rejected_proposal_is_no_trial(small_space: WidthSpace) -> None:
    widest = small_space.choices["c1_width"][-1]
    refused: list[Values] = []

    def admits(values: Values) -> bool:
        if values["c1_width"] < widest:
            refused.append(dict(values))
        return values["c1_width"] == widest

    study = _study(GatedSampler(small_space, admits, seed=0))
    asked = _train(study, small_space, 3)
    assert all(values["c1_width"] == widest for values in asked)
    assert len(study.trials) == 3
    # Each different proposal is judged once, however often it is drawn.
    assert len({tuple(values.items()) for values in refused}) == len(refused)


def test_an_exhausted_space_says_so_after_every_proposal_that_fits(small_space: WidthSpace) -> None:
    narrow = small_space.choices["c2_width"][0]
    study = _study(GatedSampler(small_space, lambda values: values["c2_width"] != narrow, seed=1))
    asked = _train(study, small_space, 6)
    assert len({tuple(values.values()) for values in asked}) == 6
    with pytest.raises(ExhaustedError):
        study.ask(small_space.distributions)


def test_the_proposals_depend_on_seed_and_history_alone(small_space: WidthSpace) -> None:
    space = WidthSpace(small_space.base)

    def search(seed: int, breaks: Callable[[int], bool]) -> list[dict[str, int]]:
        study = _study(GatedSampler(space, lambda values: True, seed))
        asked: list[dict[str, int]] = []
        for number in range(15):
            if breaks(number):  # as a resumed session does: a new sampler that only knows what was trained
                study.sampler = GatedSampler(space, lambda values: True, seed)
                for values in asked:
                    study.sampler.mark_met(values)  # type: ignore[attr-defined]
            asked += _train(study, space, 1)
        return asked

    whole = search(7, lambda number: False)
    assert search(7, lambda number: number in (4, 12)) == whole
    assert search(8, lambda number: False) != whole


def test_an_enqueued_proposal_is_tried_before_any_new_one(small_space: WidthSpace) -> None:
    judged: list[Values] = []

    def admits(values: Values) -> bool:
        judged.append(values)
        return True

    study = _study(GatedSampler(small_space, admits, seed=0))
    again = next(iter(small_space.proposals()))
    study.enqueue_trial(again)
    assert _train(study, small_space, 1) == [again]
    assert judged == []  # it passed the gate when it was proposed
    assert again not in _train(study, small_space, 8)


def test_tpe_moves_to_where_the_scores_are_better(small_space: WidthSpace) -> None:
    space = WidthSpace(small_space.base)
    asked = _train(_study(GatedSampler(space, lambda values: True, seed=0)), space, 40)
    first, last = ([values["c1_width"] for values in part] for part in (asked[:10], asked[-10:]))
    assert sum(last) > sum(first)


def test_every_trial_has_a_seed_of_its_own() -> None:
    seeds = {trial_seed(seed, number) for seed in range(50) for number in range(50)}
    assert len(seeds) == 2500
    assert all(0 <= seed < 2**32 for seed in seeds)
