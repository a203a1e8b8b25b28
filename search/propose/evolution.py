"""Regularised evolution (Real et al., Regularized Evolution for Image Classifier Architecture Search, 2019).

The population is the newest trials: what is old dies however good it was. The best of a few drawn at random
has offspring that differs from it in one dimension. Random trials come first.
"""

import random
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from search.propose.space import Space, Value, Values

TOURNAMENT = 0.25
"""Share of the population that a parent is the best of; 25 of 100 in the paper."""


def offspring(
    history: Sequence[FrozenTrial], space: Space, rng: random.Random, population: int, sign: int = 1
) -> dict[str, Value]:
    """Return the next proposal.

    Args:
        history: Trials of the study, in the order of their numbers.
        space: What may be proposed.
        rng: Where the chances come from.
        population: How many trials live at the same time, and how many random ones come first.
        sign: 1 where a large value is good, -1 where a small one is.
    """
    ended = [
        trial for trial in history if _fitness(trial) is not None and set(trial.params) >= set(space.choices)
    ]
    if len(ended) < population:
        return space.draw(rng)
    rivals = rng.sample(ended[-population:], max(2, round(TOURNAMENT * population)))
    parent = max(rivals, key=lambda trial: (_fitness(trial, sign), trial.number))
    return mutated(parent.params, space, rng)


def mutated(values: Values, space: Space, rng: random.Random) -> dict[str, Value]:
    """Return `values` with one dimension changed to another of its values, each as likely as any other."""
    several = [name for name, choices in space.choices.items() if len(choices) > 1]
    if not several:
        return dict(values)
    name = rng.choice(several)
    others = [value for value in space.choices[name] if value != values[name]]
    return {**{key: values[key] for key in space.choices}, name: rng.choice(others)}


def _fitness(trial: FrozenTrial, sign: int = 1) -> tuple[bool, float] | None:
    """Return what a trial is compared by; one that was pruned is behind every one that was not."""
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        return True, sign * trial.value
    if trial.state == TrialState.PRUNED and trial.intermediate_values:
        return False, sign * trial.intermediate_values[max(trial.intermediate_values)]
    return None
