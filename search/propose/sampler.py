"""Proposals that fit: a sampler, asked again until the gate lets a proposal through.

A rejected proposal never becomes a trial, so it neither uses one up nor pollutes the study. The draws depend
on (seed, trial number, history) alone: a resumed study neither replays its start-up draws nor forgets its
place, and no state has to be saved for it.
"""

import random
from collections.abc import Callable
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from search.propose.evolution import mutated, offspring
from search.propose.space import Space, Value, Values

Key = tuple[Value, ...]
Draw = Callable[[], dict[str, Value]]

SAMPLERS = {
    "tpe": "tree-structured Parzen estimator over all dimensions together",
    "random": "each proposal as likely as any other",
    "nsga2": "NSGA-II, for several objectives",
    "gp": "Gaussian process",
    "evolution": "regularised evolution: the best of a few recent trials, one dimension changed",
}
"""What `--sampler` takes."""

PATIENCE = {"tpe": 200, "random": 2000, "nsga2": 200, "gp": 4, "evolution": 500}
"""Fruitless draws in a row after which the neighbours of the last one are tried. A Gaussian process thinks
long over each draw, and comes to the same conclusion again."""
NEIGHBOURS = 300
WALKED = 20_000
"""A space of at most so many proposals is walked to its end before it counts as exhausted; of a larger one so
many are drawn."""
STARTUP_TRIALS = 10
"""Random trials before a model of the space is trusted (Optuna's own default)."""


class ExhaustedError(Exception):
    """Every proposal of the space has been trained or rejected."""


class GatedSampler(BaseSampler):
    """A sampler whose proposals pass `admits` and are new.

    Args:
        space: What may be proposed.
        admits: Judges a proposal; called once for each different one.
        seed: The search's seed.
        kind: One of `SAMPLERS`.
        trials: How many trials the search is to have; populations are sized by it.
        note: Called with each proposal that is tried without being judged: it was, in an earlier session.
    """

    def __init__(
        self,
        space: Space,
        admits: Callable[[Values], bool],
        seed: int,
        kind: str = "tpe",
        trials: int = 50,
        note: Callable[[Values], None] = lambda values: None,
    ) -> None:
        self._space = space
        self._admits = admits
        self._seed = seed
        self._kind = kind
        self._population = max(4, min(50, trials // 5))
        self._note = note
        self._met: set[Key] = set()
        self.latest: Values | None = None
        """What was proposed last; a driver whose database went away in between proposes it again."""

    def mark_met(self, values: Values) -> None:
        """Never propose `values` again: they have been trained."""
        self._met.add(self._key(values))
        self._note(values)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Note an enqueued proposal: Optuna takes it without asking for a sample."""
        fixed = trial.system_attrs.get("fixed_params")
        self.latest = fixed
        if fixed is not None:
            self.mark_met(fixed)
            if self._kind == "nsga2":  # else it would never be a parent
                self._nsga2(0).get_trial_generation(study, trial)

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
        self.latest = drawn = self._drawn(study, trial)
        return drawn

    def _drawn(self, study: Study, trial: FrozenTrial) -> dict[str, Value]:
        rng = random.Random(trial_seed(self._seed, trial.number))
        draw = self._drawing(study, trial, rng)
        values: dict[str, Value] = {}
        for _ in range(PATIENCE[self._kind]):
            values = draw()
            if self._passes(values):
                return values
        for count in range(NEIGHBOURS):
            near = values
            for _ in range(1 + count // 100):
                near = mutated(near, self._space, rng)
            if self._passes(near):
                return near
        return self._walk(rng)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Refuse: a dimension outside the space is a mistake of ours."""
        raise AssertionError(f"{param_name!r} is not a dimension of the space")

    def _drawing(self, study: Study, trial: FrozenTrial, rng: random.Random) -> Draw:
        """Return what draws a proposal for `trial`, a different one each time."""
        if self._kind == "random":
            return lambda: self._space.draw(rng)
        if self._kind == "evolution":
            history = study.get_trials(deepcopy=False)
            sign = -1 if study.direction == StudyDirection.MINIMIZE else 1
            return lambda: offspring(history, self._space, rng, self._population, sign)
        sampler = self._model(study, trial_seed(self._seed, trial.number))
        open_choices = {name: d for name, d in self._space.distributions.items() if not d.single()}
        only = {name: values[0] for name, values in self._space.choices.items() if name not in open_choices}
        joint = sampler.infer_relative_search_space(study, trial)

        def draw() -> dict[str, Value]:
            values = only | sampler.sample_relative(study, trial, joint)
            for name, distribution in open_choices.items():
                if name not in values:
                    values[name] = sampler.sample_independent(study, trial, name, distribution)
            return values

        return draw

    def _model(self, study: Study, seed: int) -> BaseSampler:
        if self._kind == "nsga2":
            return self._nsga2(seed)
        if self._kind == "gp":
            return GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
        return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True)

    def _nsga2(self, seed: int) -> NSGAIISampler:
        return NSGAIISampler(population_size=self._population, seed=seed)

    def _walk(self, rng: random.Random) -> dict[str, Value]:
        """Return any proposal that is left."""
        if self._space.size <= WALKED:
            rest = [values for values in self._space.proposals() if self._key(values) not in self._met]
            rng.shuffle(rest)
        else:
            rest = [self._space.draw(rng) for _ in range(WALKED)]
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
