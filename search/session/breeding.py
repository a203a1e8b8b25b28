"""Who is in a generation: the presets in the first, chosen and random children of the best in the others."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from models.spec import NetSpec
from records.generation import GenerationRecord, Member
from records.trial import TrialRecord, ranked
from search.propose.children import BRED, Child, Parent, breed
from search.propose.gate import Gate
from search.propose.ranker import Floats, Ranker, kendall_tau
from search.propose.sampler import trial_seed
from search.propose.space import fingerprint
from search.settings import Settings

GENERATION_SEEDS = 2_000_000
"""The chances of generations come from the seeds of trials that no search gets to."""
PARENTS = 2
"""Best networks that have children, beside the best preset."""
RANDOM_SHARE = 0.25
"""Of a generation: the control arm."""
LEARNT_FROM = 8
"""Trials that a ranker needs."""
TRUSTED = 0.2
"""Tau of a generation's predictions with its losses below which the next generation does without."""


@dataclass
class Breeding:
    """Makes one generation after the other; a function of seed, settings and the trials before.

    Attributes:
        settings: Of the search.
        gate: Judges networks.
        starts: The networks of the first generation, with the names of those that are presets.
        max_params: Widths are filled up to just under it; None: they are left as they are.
        too_slow: Whether a training step of a network takes too long, against another one.
    """

    settings: Settings
    gate: Gate
    starts: Sequence[tuple[str | None, NetSpec]]
    max_params: int | None
    too_slow: Callable[[NetSpec, NetSpec], bool] = lambda spec, base: False
    bred: int = BRED
    """Children that a generation is picked from."""
    taus: dict[int, float] = field(default_factory=dict)
    """By generation: tau of its predictions with its losses, whether they chose or not."""

    def first(self, count: int) -> GenerationRecord:
        """Return the generation of the presets, at most `count` of them."""
        members = [
            self._member(number, spec, "preset", preset=name)
            for number, (name, spec) in enumerate(self.starts[:count])
        ]
        return GenerationRecord(0, tuple(members), ranked=False)

    def next(self, number: int, count: int, records: Sequence[TrialRecord]) -> GenerationRecord | None:
        """Return a generation of children; None: there are no new ones.

        Args:
            number: Of the generation, from 1.
            count: Children in it.
            records: All trials so far.
        """
        seed = trial_seed(self.settings.seed, GENERATION_SEEDS + number)
        rng = random.Random(seed)
        parents = self.parents(records)
        base = NetSpec.from_json(next(each for each in ranked(records) if each.generation == 0).spec)
        known = {fingerprint(NetSpec.from_json(record.spec)) for record in records}
        children = breed(parents, self.gate, self.max_params, known, rng, self.bred)
        predictions = self._predictions(children, records, seed)
        last = self.taus.get(number - 1)
        trusted = predictions is not None and (last is None or last >= TRUSTED)
        at_random = rng.sample(range(len(children)), len(children))
        chosen = round((1 - RANDOM_SHARE) * count) if trusted else 0
        arms: list[tuple[str, int]] = []
        if trusted and predictions is not None:
            # Of what is predicted well or uncertainly: mean minus the spread over the bootstraps.
            hopeful = sorted(
                range(len(children)), key=lambda place: predictions[0][place] - predictions[1][place]
            )
            arms += [("chosen", place) for place in self._passing(children, hopeful, chosen, base)]
        taken = {place for _, place in arms}
        rest = [place for place in at_random if place not in taken]
        arms += [("random", place) for place in self._passing(children, rest, count - len(arms), base)]
        if not arms:
            return None
        start = max(record.number for record in records) + 1
        members = [
            self._member(
                start + offset,
                children[place].spec,
                arm,
                parent=children[place].parent,
                moves=children[place].moves,
                predicted=None if predictions is None else float(predictions[0][place]),
            )
            for offset, (arm, place) in enumerate(arms)
        ]
        return GenerationRecord(number, tuple(members), ranked=bool(trusted))

    def parents(self, records: Sequence[TrialRecord]) -> list[Parent]:
        """Return the best networks so far and the best preset; of the control, the presets alone."""
        best = ranked(records)
        presets = [record for record in best if record.generation == 0]
        chosen = best[:PARENTS] + presets[:1]
        if self.settings.sampler == "random-moves" or all(record.generation == 0 for record in best):
            chosen = presets
        return [
            Parent(record.number, record.title, NetSpec.from_json(record.spec))
            for record in {each.number: each for each in chosen}.values()
        ]

    def judge(self, generation: GenerationRecord, losses: Mapping[int, float]) -> None:
        """Hold the predictions of a generation against its losses, by trial number."""
        pairs = [
            (member.predicted, losses[member.number])
            for member in generation.members
            if member.predicted is not None and member.number in losses
        ]
        tau = kendall_tau([each[0] for each in pairs], [each[1] for each in pairs])
        if tau is not None:
            self.taus[generation.number] = tau

    def _predictions(
        self, children: Sequence[Child], records: Sequence[TrialRecord], seed: int
    ) -> tuple[Floats, Floats] | None:
        """Return the expected loss of each child and its uncertainty; None where there is no ranker yet."""
        known = comparable(records)
        if self.settings.sampler == "random-moves" or len(known) < LEARNT_FROM or not children:
            return None
        specs = [NetSpec.from_json(record.spec) for record in records if record.number in known]
        losses = [known[record.number] for record in records if record.number in known]
        return Ranker.learnt(specs, losses, seed).predict([child.spec for child in children])

    def _passing(
        self, children: Sequence[Child], order: Sequence[int], count: int, base: NetSpec
    ) -> list[int]:
        """Return the first `count` children of `order` that the budget and the clock let through.

        Args:
            children: Of this generation.
            order: Places in it.
            count: How many are wanted.
            base: The best preset, whose training step is the measure.
        """
        found: list[int] = []
        for place in order:
            if len(found) == count:
                break
            spec = children[place].spec
            broken = self.gate.admission(spec).broken
            if broken:
                self.gate.reject(broken[0])
            elif self.too_slow(spec, base):
                self.gate.reject("step time")
            else:
                found.append(place)
        return found

    def _member(
        self,
        number: int,
        spec: NetSpec,
        arm: str,
        preset: str | None = None,
        parent: int | None = None,
        moves: tuple[str, ...] = (),
        predicted: float | None = None,
    ) -> Member:
        seed = trial_seed(self.settings.seed, number)
        return Member(number, spec.to_json(), seed, preset, parent, moves, arm, predicted)


def comparable(records: Sequence[TrialRecord]) -> dict[int, float]:
    """Return a validation loss for each trial as if all had been trained to the end, by number.

    A trial that ended early is given what the complete ones gained on average from that epoch to their end.
    """
    complete = [record for record in records if record.state == "complete" and record.loss is not None]
    found = {record.number: record.loss or 0.0 for record in complete}
    for record in records:
        if record.state != "pruned" or record.loss is None:
            continue
        epoch = len(record.epochs)
        gains = [
            (each.loss or 0.0) - (each.epochs[epoch - 1].val_loss or 0.0)
            for each in complete
            if len(each.epochs) > epoch
        ]
        if gains:
            found[record.number] = record.loss + sum(gains) / len(gains)
    return found
