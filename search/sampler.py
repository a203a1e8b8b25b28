"""Proposals that fit: Optuna's TPE, asked again until the gate lets a proposal through.

A rejected proposal never becomes a trial, so it neither uses one up nor pollutes the study. The draws depend
on (seed, trial number, history) alone: a resumed study neither replays its start-up draws nor forgets its
place, and no state has to be saved for it.
"""

import random
from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.space import WidthSpace

Values = Mapping[str, int]
Key = tuple[int, ...]

PATIENCE = 200
"""Fruitless draws in a row after which the rest of the space is walked instead."""
STARTUP_TRIALS = 10
"""Random trials before TPE models the space (Optuna's own default)."""


class ExhaustedError(Exception):
    """Every proposal of the space has been trained or rejected."""


class GatedSampler(BaseSampler):
    """TPE whose proposals pass `admits` and are new.

    Args:
        space: What may be proposed.
        admits: Judges a proposal; called once for each different one.
        seed: The search's seed.
    """

    def __init__(self, space: WidthSpace, admits: Callable[[Values], bool], seed: int) -> None:
        self._space = space
        self._admits = admits
        self._seed = seed
        self._met: set[Key] = set()

    def mark_met(self, values: Values) -> None:
        """Never propose `values` again: they have been trained."""
        self._met.add(self._key(values))

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Note an enqueued proposal, one that is tried again: Optuna takes it without asking for a sample."""
        fixed = trial.system_attrs.get("fixed_params")
        if fixed is not None:
            self.mark_met(fixed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the whole space: every dimension is static."""
        return self._space.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a proposal that is new and passes.

        Raises:
            ExhaustedError: There is none left.
        """
        sampler = TPESampler(
            seed=trial_seed(self._seed, trial.number),
            n_startup_trials=STARTUP_TRIALS,
            multivariate=True,
            constant_liar=True,
        )
        joint = sampler.infer_relative_search_space(study, trial)
        for _ in range(PATIENCE):
            values = sampler.sample_relative(study, trial, joint)
            for name, distribution in search_space.items():
                if name not in values:
                    values[name] = sampler.sample_independent(study, trial, name, distribution)
            if self._passes(values):
                return values
        return self._walk(random.Random(trial_seed(self._seed, trial.number)))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Refuse: a dimension outside the space is a mistake of ours."""
        raise AssertionError(f"{param_name!r} is not a dimension of the space")

    def _walk(self, rng: random.Random) -> dict[str, Any]:
        rest = [values for values in self._space.proposals() if self._key(values) not in self._met]
        rng.shuffle(rest)
        for values in rest:
            if self._passes(values):
                return values
        raise ExhaustedError

    def _passes(self, values: Values) -> bool:
        key = self._key(values)
        if key in self._met:
            return False
        self._met.add(key)
        return self._admits(values)

    def _key(self, values: Values) -> Key:
        return tuple(values[name] for name in self._space.choices)


def trial_seed(seed: int, number: int) -> int:
    """Return a seed of its own for each trial, 32 bits as NumPy wants them (splitmix64's finaliser)."""
    mixed = (seed * 0x9E3779B97F4A7C15 + number + 1) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ (mixed >> 31)) & 0xFFFFFFFF
