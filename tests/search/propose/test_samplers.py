"""What every sampler of the search must do, whatever it thinks."""

from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from models.presets import PRESETS
from search.propose.evolution import mutated, offspring
from search.propose.objectives import directions
from search.propose.sampler import SAMPLERS, ExhaustedError, GatedSampler
from search.propose.space import Values, WidthSpace
from search.propose.space_full import FullSpace

SPACE = FullSpace((3, 32, 32), 10, 99_999)
KINDS = list(SAMPLERS)
# A Gaussian process takes a second for each proposal in all 19 dimensions.
_OPEN = ("stem_width", "c1_depth", "c2_depth", "c3_depth", "gate")
NARROW = FullSpace(
    (3, 32, 32), 10, 99_999, {name: values[:1] for name, values in SPACE.choices.items() if name not in _OPEN}
)
ACCURACY = ("accuracy",)
BOTH = ("accuracy", "macs")


def _search(
    kind: str, count: int, seed: int = 0, objectives: Sequence[str] = ACCURACY, restarts: bool = False
) -> list[dict[str, Any]]:
    """Ask and tell; deep networks score best, and what has a stem of 8 is turned away."""
    space = NARROW if kind == "gp" else SPACE
    study = optuna.create_study(directions=directions(objectives))
    asked: list[dict[str, Any]] = []
    for number in range(count):
        if number == 0 or restarts:
            study.sampler = GatedSampler(space, lambda values: values["stem_width"] != 8, seed, kind, 20)
            for values in asked:
                study.sampler.mark_met(values)
        trial = study.ask(space.distributions)
        asked.append(dict(trial.params))
        depth = float(sum(trial.params[f"c{n}_depth"] for n in range(1, 5)))
        study.tell(trial, [depth, 16 - depth][: len(objectives)])
    return asked


@pytest.mark.parametrize("kind", KINDS)
def test_every_proposal_fits_is_new_and_names_every_dimension(kind: str) -> None:
    asked = _search(kind, 13)
    assert all(values["stem_width"] != 8 for values in asked)
    assert len({tuple(values.items()) for values in asked}) == 13
    for values in asked:
        assert set(values) == set(SPACE.choices)
        assert all(values[name] in SPACE.choices[name] for name in values)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_search_proposes_what_the_whole_one_does(kind: str) -> None:
    whole = _search(kind, 12, seed=4)
    assert _search(kind, 12, seed=4, restarts=True) == whole
    assert _search(kind, 3, seed=5) != whole[:3]


@pytest.mark.parametrize("kind", ["tpe", "nsga2", "gp", "random"])
def test_samplers_that_say_so_know_two_objectives(kind: str) -> None:
    assert len(_search(kind, 12, objectives=BOTH)) == 12


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_space_is_searched_to_its_end(kind: str, small_space: WidthSpace) -> None:
    study = optuna.create_study(direction="maximize")
    study.sampler = GatedSampler(small_space, lambda values: True, 0, kind)
    asked = []
    for _ in range(small_space.size):
        trial = study.ask(small_space.distributions)
        asked.append(tuple(trial.params.values()))
        study.tell(trial, float(trial.params["c1_width"]))
    assert len(set(asked)) == small_space.size
    with pytest.raises(ExhaustedError):
        study.ask(small_space.distributions)


def test_enqueued_proposals_become_parents_of_nsga2_too() -> None:
    study = optuna.create_study(directions=directions(BOTH))
    study.sampler = GatedSampler(SPACE, lambda values: True, 0, "nsga2", 20)
    for values in SPACE.anchors().values():
        study.enqueue_trial(dict(values))
    for _ in SPACE.anchors():
        study.tell(study.ask(SPACE.distributions), [0.5, 1.0])
    assert all("NSGAIISampler:generation" in trial.system_attrs for trial in study.trials)


def _ended(number: int, values: Values, score: float, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    trial = create_trial(
        state=state,
        value=score if state == TrialState.COMPLETE else None,
        params=dict(values),
        distributions=SPACE.distributions,
        intermediate_values={1: score},
    )
    trial.number = number
    return trial


def test_a_mutation_changes_one_dimension() -> None:
    import random

    rng, parent = random.Random(0), SPACE.anchors()["tiny"]
    changed = set()
    for _ in range(300):
        child = mutated(parent, SPACE, rng)
        (name,) = (name for name in child if child[name] != parent[name])
        assert child[name] in SPACE.choices[name]
        changed.add(name)
    assert changed == set(SPACE.choices)


def test_evolution_breeds_from_the_best_of_the_living() -> None:
    """The best one ever is too old, and the best score at all was pruned: neither has offspring."""
    import random

    rng = random.Random(0)
    everyone = [_ended(n, SPACE.draw(rng), n / 100) for n in range(8)]
    oldest = _ended(8, {**SPACE.draw(rng), "stem_width": 48}, 0.9)
    pruned = _ended(9, {**SPACE.draw(rng), "stem_width": 44}, 0.99, TrialState.PRUNED)
    history = [oldest, *everyone, pruned]
    for _ in range(100):
        child = offspring(history, SPACE, rng, population=9)
        distances = [sum(child[name] != trial.params[name] for name in child) for trial in history]
        assert distances[0] > 1
        assert min(distances[1:]) == 1
    parents = [
        min(range(10), key=lambda n: sum(child[name] != history[n].params[name] for name in child))
        for child in (offspring(history, SPACE, rng, population=9) for _ in range(200))
    ]
    assert parents.count(8) > parents.count(2)  # 8 is the best that lives


def test_evolution_starts_with_random_trials() -> None:
    import random

    history = [_ended(0, SPACE.anchors()["tiny"], 0.9)]
    child = offspring(history, SPACE, random.Random(0), population=9)
    assert sum(child[name] != history[0].params[name] for name in child) > 3


def test_the_widths_of_a_preset_are_a_space_for_all_of_them() -> None:
    space = WidthSpace(PRESETS["residual"], 99_999)
    assert list(space.choices) == ["c2_ratio", "c3_ratio", "c4_ratio"]
