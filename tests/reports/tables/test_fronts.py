"""Whether a cost differs between the trials at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from records.trial import TrialRecord
from reports.tables import fronts


def test_networks_filled_up_to_one_limit_have_no_cheaper_choice(
    make_trial: Callable[..., TrialRecord],
) -> None:
    def trials(*params: int, state: str = "complete") -> list[TrialRecord]:
        made = [(make_trial(at), each) for at, each in enumerate(params)]
        return [dataclasses.replace(trial, params=each, state=state) for trial, each in made]

    params = fronts.COSTS["params"]
    assert fronts.level(trials(95_000, 99_900, 100_000), params)
    assert not fronts.level(trials(94_999, 99_900, 100_000), params)
    # A network that was given up does not count, and one alone shows no spread.
    assert fronts.level([*trials(99_000, 100_000), *trials(10_000, state="pruned")], params)
    assert not fronts.level(trials(99_000), params)
