"""From a proposal to a network: filled, judged, and trained once however often it is proposed."""

from collections.abc import Sequence

import optuna

from models.errors import SpecError
from records.trial import TrialRecord
from search.propose.gate import Gate
from search.propose.sampler import GatedSampler
from search.propose.space import Space, TooLargeError, Values, fingerprint
from search.settings import Settings


class Proposals:
    """Judges the proposals of a space and remembers the networks that it let through.

    Args:
        space: What turns values into a network.
        gate: Judges networks, and counts what is turned away.
    """

    def __init__(self, space: Space, gate: Gate) -> None:
        self._space = space
        self._gate = gate
        self._networks: set[str] = set()

    def admits(self, values: Values) -> bool:
        """Return whether `values` stand for a new network that fits; count the reason where they do not."""
        try:
            spec = self._space.spec(values)
        except TooLargeError:
            return self._gate.reject("max_params")
        except SpecError:
            return self._gate.reject("not a network")
        mark = fingerprint(spec)
        if mark in self._networks:
            return self._gate.reject("duplicate")
        if not self._gate.admits(spec):
            return False
        self._networks.add(mark)
        return True

    def remember(self, values: Values) -> None:
        """Never let the network of `values` through again: it is trained, or about to be."""
        self._networks.add(fingerprint(self._space.spec(values)))


def make_sampler(
    settings: Settings, space: Space, proposals: Proposals, records: Sequence[TrialRecord]
) -> GatedSampler:
    """Return the search's sampler; what `records` hold is never proposed again."""
    sampler = GatedSampler(
        space, proposals.admits, settings.seed, settings.sampler, settings.trials, proposals.remember
    )
    for record in records:
        sampler.mark_met(record.values)
    return sampler


def enqueue_anchors(study: optuna.Study, space: Space, proposals: Proposals) -> list[str]:
    """Have the known good networks of `space` that fit tried first in a new study; return their names."""
    if study.get_trials(deepcopy=False):
        return []
    names = [name for name, values in space.anchors().items() if proposals.admits(values)]
    for name in names:
        study.enqueue_trial(dict(space.anchors()[name]), user_attrs={"anchor": name})
    return names
