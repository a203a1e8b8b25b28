"""The methods that benchmarks/search_quality.py compares: who proposes, what becomes of misfits."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.samplers import TPESampler
from optuna.trial import TrialState, create_trial

import rfcalc
from models.arithmetic import figures
from models.errors import SpecError
from models.spec import NetSpec
from search.execute.job import Outcome
from search.propose.gate import Gate
from search.propose.proposals import Proposals
from search.propose.sampler import STARTUP_TRIALS, ExhaustedError, GatedSampler, trial_seed
from search.propose.space import Space, TooLargeError, Values, fingerprint

optuna.logging.set_verbosity(optuna.logging.WARNING)

Trial = dict[str, Any]
"""What the study knows of a proposal, as JSON.

values; state ("complete", "failed", "misfit", or "known": that network was trained before); score; broken
(relative violation by limit); and unless it is a misfit params, macs, seconds, and turned_away: how many
proposals were rejected before it.
"""
Train = Callable[[NetSpec, int], Outcome]
"""Spec and seed of the training."""

ASKS = 100
"""Proposals for each network to be trained, after which a method that has not found enough is given up."""
POPULATION_TRIALS = 50
"""Trials that evolution's population is sized for, whatever their number here: cells can be lengthened."""


@dataclass(frozen=True)
class Method:
    """One way to choose which networks are trained.

    Attributes:
        text: What it is, in a few words.
        sampler: One of `search.propose.sampler.SAMPLERS`, or "presets".
        fill: Whether the widths of a proposal are filled up to the limit on parameters.
        misfits: What becomes of a proposal that breaks the budget. "rejected": the sampler draws again and
            the study never hears of it. "told": it enters the study with its violations (`set_constraint`),
            costs no training, and does not count. "counted": likewise, but it uses up one of the trials, as
            in an objective that hands the budget to Optuna. There it would be trained too; Optuna's sampler
            never looks at the score of such a trial, so nothing that is proposed changes without it.
        anchors: Whether the presets, or what is nearest to them in the space, are tried first.
    """

    text: str
    sampler: str
    fill: bool = False
    misfits: str = "rejected"
    anchors: bool = False


METHODS = {
    "tpe-fill": Method("TPE, filled, misfits rejected", "tpe", fill=True),
    "tpe-fill-told": Method("TPE, filled, misfits told", "tpe", fill=True, misfits="told"),
    "random-fill": Method("random, filled, misfits rejected", "random", fill=True),
    "random-reject": Method("random, misfits rejected", "random"),
    "optuna-soft": Method("Optuna's TPE, soft constraints", "tpe", misfits="counted"),
    "presets": Method("the hand-made presets", "presets"),
    "search": Method("TPE, filled, presets first", "tpe", fill=True, anchors=True),
    "evolution-fill": Method("evolution, filled, misfits rejected", "evolution", fill=True),
    "tpe-reject": Method("TPE, misfits rejected", "tpe"),
    "optuna-told": Method("Optuna's TPE, misfits told and free", "tpe", misfits="told"),
}
DEFAULT = ("tpe-fill", "tpe-fill-told", "random-fill", "random-reject", "optuna-soft", "presets")


@dataclass(frozen=True)
class Ground:
    """What all methods share.

    Attributes:
        spaces: The space without and with filling, by whether it fills.
        budget: What a network must hold.
        presets: The hand-made networks by name.
        trials: How many networks each method may train.
    """

    spaces: Mapping[bool, Space]
    budget: rfcalc.Budget
    presets: Mapping[str, NetSpec]
    trials: int

    def spec(self, method: Method, trial: Trial) -> NetSpec:
        """Return the network of a trial that was trained."""
        if method.sampler == "presets":
            return self.presets[trial["values"]["preset"]]
        return self.spaces[method.fill].spec(trial["values"])


def counts(trial: Trial, method: Method) -> bool:
    """Tell whether `trial` uses up one of a method's trials."""
    return trial["state"] in ("complete", "failed") or (
        trial["state"] == "misfit" and method.misfits == "counted"
    )


def play(
    method: Method, seed: int, ground: Ground, trials: list[Trial], train: Train, keep: Callable[[], None]
) -> bool:
    """Let `method` train its networks; `trials` grows, and `keep` is called after each training.

    What it proposes depends on `seed` and `trials` alone: it goes on from any state as if it had not stopped.

    Returns:
        Whether it found as many networks as it was to train.
    """
    if method.sampler == "presets":
        return _presets(seed, ground, trials, train, keep)
    if method.misfits == "rejected":
        return _rejecting(method, seed, ground, trials, train, keep)
    return _telling(method, seed, ground, trials, train, keep)


def _presets(seed: int, ground: Ground, trials: list[Trial], train: Train, keep: Callable[[], None]) -> bool:
    for name, spec in list(ground.presets.items())[len(trials) :]:
        trials.append(_trained({"preset": name}, spec, trial_seed(seed, len(trials)), train))
        keep()
    return True


def _rejecting(
    method: Method, seed: int, ground: Ground, trials: list[Trial], train: Train, keep: Callable[[], None]
) -> bool:
    """Go on as `python -m search` does."""
    space = ground.spaces[method.fill]
    gate = _gate(space, ground)
    proposals = Proposals(space, gate)
    sampler = GatedSampler(
        space, proposals.admits, seed, method.sampler, POPULATION_TRIALS, proposals.remember
    )
    study = _study(space, trials)
    study.sampler = sampler
    for trial in trials:
        sampler.mark_met(trial["values"])
    if method.anchors:
        for values in space.anchors().values():
            if proposals.admits(values):  # not if it was trained before the break
                study.enqueue_trial(dict(values))
    while sum(counts(trial, method) for trial in trials) < ground.trials:
        before = gate.rejections.total()
        try:
            asked = study.ask(space.distributions)
        except ExhaustedError:
            return False
        spec = space.spec(asked.params)
        trial = _trained(asked.params, spec, trial_seed(seed, asked.number), train)
        trial["turned_away"] = gate.rejections.total() - before
        _tell(study, asked.number, trial)
        trials.append(trial)
        keep()
    return True


def _telling(
    method: Method, seed: int, ground: Ground, trials: list[Trial], train: Train, keep: Callable[[], None]
) -> bool:
    """Let the study hear of what breaks the budget; all else is Optuna as it comes."""
    space = ground.spaces[method.fill]
    gate = _gate(space, ground)
    study = _study(space, trials)
    known = {
        fingerprint(space.spec(trial["values"])): trial["score"]
        for trial in trials
        if trial["state"] == "complete"
    }
    while sum(counts(trial, method) for trial in trials) < ground.trials:
        if len(trials) >= ASKS * ground.trials:
            return False
        free = sum(not counts(trial, method) for trial in trials)
        # A sampler for each trial, seeded by its number: a resumed study does not replay its first draws.
        # What costs no trial does not end the random start either.
        draws = trial_seed(seed, len(trials))
        study.sampler = TPESampler(seed=draws, n_startup_trials=STARTUP_TRIALS + free)
        asked = study.ask(space.distributions)
        broken = violations(space, gate, asked.params)
        if broken:
            trial = _misfit(asked.params, broken)
            for name, violation in broken.items():
                asked.set_constraint(name, violation)
        else:
            spec = space.spec(asked.params)
            mark = fingerprint(spec)
            if method.misfits == "told" and mark in known:  # plain Optuna would train it again
                trial = _trial(asked.params, spec, "known", known[mark], 0.0)
            else:
                trial = _trained(asked.params, spec, trial_seed(seed, asked.number), train)
            if trial["state"] == "complete":
                known[mark] = trial["score"]
        _tell(study, asked.number, trial)
        trials.append(trial)
        if trial["state"] != "misfit":  # after a break these are drawn again, at once and the same
            keep()
    return True


def violations(space: Space, gate: Gate, values: Values) -> dict[str, float]:
    """Return by how much each broken limit is missed, as a share of the limit; empty: it fits.

    Optuna adds them up, so parameters, of which thousands are missing, must not drown pixels.
    """
    try:
        spec = space.spec(values)
        broken: Mapping[str, float] = gate.shortfalls(figures(spec, gate.input_size))
        if not broken:
            admission = gate.admission(spec)
            broken = {name: admission.margins[name] for name in admission.broken}
    except TooLargeError:
        return {"max_params": 1.0}
    except SpecError:
        return {"not a network": 1.0}
    limits = gate.budget.limits()
    return {name: margin / max(1, abs(int(limits[name]))) for name, margin in broken.items()}


def drawn(
    space: Space, budget: rfcalc.Budget, input_size: tuple[int, int, int], seed: int, count: int
) -> list[NetSpec]:
    """Return `count` different random networks of `space` that fit, or fewer where no more are found."""
    gate, rng, found = Gate(budget, input_size), random.Random(seed), dict[str, NetSpec]()
    for _ in range(ASKS * count):
        if len(found) == count:
            break
        values = space.draw(rng)
        if not violations(space, gate, values):
            spec = space.spec(values)
            found[fingerprint(spec)] = spec
    return list(found.values())


def _gate(space: Space, ground: Ground) -> Gate:
    return Gate(ground.budget, next(iter(ground.presets.values())).input_size)


def _study(space: Space, trials: list[Trial]) -> optuna.Study:
    """Return a study that knows `trials`."""
    study = optuna.create_study(direction="maximize")
    states = {"complete": TrialState.COMPLETE, "known": TrialState.COMPLETE, "failed": TrialState.FAIL}
    for trial in trials:
        study.add_trial(
            create_trial(
                state=states.get(trial["state"], TrialState.PRUNED),
                value=trial["score"],
                params=trial["values"],
                distributions=space.distributions,
                constraints=trial["broken"],
            )
        )
    return study


def _tell(study: optuna.Study, number: int, trial: Trial) -> None:
    if trial["state"] in ("complete", "known"):
        study.tell(number, trial["score"])
    else:
        study.tell(number, state=TrialState.PRUNED if trial["state"] == "misfit" else TrialState.FAIL)


def _trained(values: Values, spec: NetSpec, seed: int, train: Train) -> Trial:
    outcome = train(spec, seed)
    trial = _trial(
        values, spec, outcome.state, outcome.score if outcome.state == "complete" else None, outcome.seconds
    )
    if outcome.reason:
        trial["reason"] = outcome.reason
    return trial


def _trial(values: Values, spec: NetSpec, state: str, score: float | None, seconds: float) -> Trial:
    known = figures(spec, spec.input_size)
    return {
        "values": dict(values),
        "state": state,
        "score": score,
        "broken": {},
        "params": known.params,
        "macs": known.macs,
        "seconds": round(seconds, 3),
        "turned_away": 0,
    }


def _misfit(values: Values, broken: dict[str, float]) -> Trial:
    return {"values": dict(values), "state": "misfit", "score": None, "broken": broken, "seconds": 0.0}
