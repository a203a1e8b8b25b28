"""The trials of a search by moves: generations of few, long trainings, whose worse half ends at half.

Generation 0 are the presets. What a generation is, is written to `generations/` before it is trained, so that
a search that broke off trains what is missing of it; who is in it depends on seed and losses alone, never on
which training ended first.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from optuna.samplers import RandomSampler

from models.spec import NetSpec
from records.files import write_json
from records.generation import GenerationRecord, Member
from records.text import percent, plural
from records.trial import TrialRecord, ranked
from search.errors import SearchError
from search.execute.job import Job, Outcome
from search.keep import ledger
from search.propose.ranker import kendall_tau
from search.propose.starts import starts
from search.pruning import half_of
from search.session.breeding import Breeding, comparable
from search.session.ended import trial_record
from search.session.findings import Findings
from search.session.opened import OpenStudy, opened
from search.session.presets import contenders
from search.session.stage import Context
from search.session.steptime import StepTime
from search.session.timing import MARGIN
from search.session.trainings import Trainings
from training.fit.checkpoint import previous

HALVES = "half"
"""Folder of the records of trials at half of their epochs."""
GENERATIONS = "generations"
FAILURES_IN_A_ROW = 10
"""After so many the fault is the set-up's, not the networks'."""
FEWEST = 2
"""Children of a generation that is cut short by the time."""
RACED = 2
"""Runs of each finalist that the time must last for."""


def climb(context: Context, found: Findings) -> Findings:
    """Train generations until there are as many trials as were asked for, or time or moves are exhausted."""
    plan, settings, chronicle = context.plan, context.plan.settings, context.chronicle
    records = plan.folder.trials()
    with opened(context, RandomSampler(seed=settings.seed), records) as access:
        trainings = context.trainings(pulse=lambda: access.retry(access.look))
        climber = Climber(context, access, trainings, _breeding(context))
        reason, exhausted = climber.run()
    records = plan.folder.trials()
    if reason is not None:
        context.display.notice(reason)
    chronicle.keep(records)
    return replace(found, reason=reason, exhausted=exhausted, taus=found.taus | climber.taus())


def _breeding(context: Context) -> Breeding:
    plan, settings = context.plan, context.plan.settings
    max_params = plan.budget.max_params if settings.fill else None
    begun, _ = starts(settings.candidates, context.gate, plan.base.classes, max_params)
    breeding = Breeding(settings, context.gate, begun, max_params)
    if settings.step_limit is not None:
        breeding.too_slow = StepTime(settings.trial_recipe, settings.device, settings.step_limit).too_slow
    return breeding


@dataclass
class Climber:
    """Drives the generations; one driver owns a study."""

    context: Context
    access: OpenStudy
    trainings: Trainings
    breeding: Breeding
    _failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Look up what every step needs."""
        self.settings, self.folder = self.context.plan.settings, self.context.plan.folder
        self.half = half_of(self.settings.epochs)

    def run(self) -> tuple[str | None, bool]:
        """Train what is missing; return why there are too few trials, and whether moves are exhausted.

        Raises:
            SearchError: No preset could be trained, or `FAILURES_IN_A_ROW` trials failed one after the other.
            Stopped: The user asked for the end, and the trainings that were running have ended.
        """
        wanted, display, number = self.settings.trials, self.context.display, 0
        display.stage("trials", wanted, self._counted(self.folder.trials()))
        while True:
            records = self.folder.trials()
            generation = self._stored(number)
            if generation is None:
                counted = self._counted(records)
                if counted >= wanted:
                    return None, False
                count = min(wanted - counted, self.settings.generation)
                if number == 0:
                    generation = self.breeding.first(wanted)
                else:
                    if not ranked(records):
                        raise SearchError("no preset could be trained; trials.csv has the reasons")
                    count = self._in_time(count, records)
                    if not count:
                        return f"the time limit ended the trials after {counted} of {wanted}", False
                    generation = self.breeding.next(number, count, records)
                if generation is None:
                    return f"no move leads to a new network that fits; {plural(counted, 'trial')}", True
                write_json(self._path(number), generation.to_json())
            self._train(generation)
            self.breeding.judge(generation, self._losses(generation))
            number += 1

    def taus(self) -> dict[str, float]:
        """Return tau of what this search went by, with what came of it, by name."""
        found = {f"predictions of generation {g}": tau for g, tau in self.breeding.taus.items()}
        ended = ranked(self.folder.trials())
        ended = [record for record in ended if len(record.epochs) == self.settings.epochs > self.half]
        halves = [record.epochs[self.half - 1].val_loss or 0.0 for record in ended]
        tau = kendall_tau(halves, [record.loss or 0.0 for record in ended])
        return found if tau is None else found | {f"loss at half, {plural(len(ended), 'trial')}": tau}

    def _counted(self, records: Sequence[TrialRecord]) -> int:
        return len({record.number for record in records if record.state != "failed"})

    def _path(self, number: int) -> Any:
        return self.folder.path / GENERATIONS / f"{number}.json"

    def _stored(self, number: int) -> GenerationRecord | None:
        path = self._path(number)
        return GenerationRecord.read(path) if path.is_file() else None

    def _in_time(self, count: int, records: Sequence[TrialRecord]) -> int:
        """Return how many of `count` children the time lasts for, with the finalists to come; 0: too few."""
        limit, jobs = self.settings.time_limit, self.settings.jobs
        if limit is None:
            return count
        # Of the newest generation: its networks are the most like those to come. Of the presets the slowest
        # counts, since children descend from all of them.
        complete = [record for record in records if record.state == "complete"]
        newest = max(record.generation or 0 for record in complete)
        took = [record.seconds for record in complete if (record.generation or 0) == newest]
        run = fmean(took) if newest else max(took)
        presets = [record for record in ranked(complete) if record.generation == 0]
        racing = self.settings.finalists + len(contenders(presets, self.folder))
        finals = run * self._final_share() * math.ceil(RACED * racing / jobs)
        left = limit - self.context.chronicle.elapsed - MARGIN * finals
        share = 1.0 if self.half >= self.settings.epochs else (1 + self.half / self.settings.epochs) / 2
        for number in range(count, min(FEWEST, count) - 1, -1):
            if MARGIN * run * share * math.ceil(number / jobs) <= left:
                return number
        return 0

    def _final_share(self) -> float:
        """Return how much longer a finalist's run is than a trial."""
        settings, plan = self.settings, self.context.plan
        long = settings.final_epochs * (settings.final_subset or plan.train_images)
        return long / (settings.epochs * (settings.subset or plan.train_images))

    def _losses(self, generation: GenerationRecord) -> dict[int, float]:
        """Return the losses of a generation, all as if at the end."""
        known = comparable(self.folder.trials())
        return {
            member.number: known[member.number] for member in generation.members if member.number in known
        }

    def _train(self, generation: GenerationRecord) -> None:
        """Train what is missing of a generation, and write and tell how each trial ended."""
        records = {record.number: record for record in self.folder.trials()}
        self.access.retry(lambda: ledger.enter(self.access.study, generation))
        for member in generation.members:
            if member.number in records:
                self._told(records[member.number])
        missing = [member for member in generation.members if member.number not in records]
        if generation.number == 0 or self.half >= self.settings.epochs:
            self._go(generation, missing, self.settings.epochs)
            return
        halves = {record.number: record for record in self.folder.trials(HALVES)}
        for member in missing:
            if member.number not in halves:
                _forget(self._checkpoint(member.number))
        self._go(generation, [member for member in missing if member.number not in halves], self.half)
        halves = {record.number: record for record in self.folder.trials(HALVES)}
        members = [member.number for member in generation.members if member.number in halves]
        order = sorted(members, key=lambda number: (halves[number].loss or math.inf, number))
        survivors = set(order[: math.ceil(len(order) / 2)])
        for member in missing:
            if member.number in halves and member.number not in survivors:
                why = f"among the worse half of generation {generation.number} after epoch {self.half}"
                ended = replace(halves[member.number], state="pruned", reason=why)
                losses = self.folder.losses(ended, HALVES)
                self._ended(ended, None if losses is None else losses.tobytes())
        self._go(
            generation, [member for member in missing if member.number in survivors], self.settings.epochs
        )

    def _go(self, generation: GenerationRecord, members: Sequence[Member], until: int) -> None:
        """Train members until an epoch, from where they are."""
        jobs = [(self._job(member), self._title(member)) for member in members]
        by_number = {member.number: member for member in members}
        for job, title, outcome in self.trainings.whole(jobs, until=until):
            member = by_number[job.number]
            record = self._record(generation, member, job, outcome)
            if outcome.state == "failed":
                self._failed(record, title)
            elif until < self.settings.epochs:
                record = replace(record, state="complete", reason=None)
                self.folder.keep_losses(record, outcome.losses, HALVES)
                self.folder.keep(record, HALVES)
            else:
                self._ended(record, outcome.losses)

    def _failed(self, record: TrialRecord, title: str) -> None:
        self.folder.keep(record)
        self._told(record)
        self.context.display.say(f"{title} failed: {record.reason}", style="yellow")
        self._failures.append(record.reason or "")
        if len(self._failures) == FAILURES_IN_A_ROW:
            raise SearchError(
                f"{FAILURES_IN_A_ROW} trials in a row failed, the last one with: {self._failures[-1]}"
            )

    def _ended(self, record: TrialRecord, losses: bytes | None) -> None:
        """Write a trial that ended; the record before the study learns of it."""
        self._failures.clear()
        self.folder.keep_losses(record, losses)
        self.folder.keep(record)
        self._told(record)
        _forget(self._checkpoint(record.number))
        records = self.folder.trials()
        best = next(iter(ranked(records)), None)
        words = f"{record.title} {record.state} at {_shown(record)}"
        self.context.display.advance(words + (f", best {best.title} {_shown(best)}" if best else ""))
        if (kept := self.context.chronicle.keep_soon(records)) is not None:
            self.context.display.tally(kept, records)

    def _told(self, record: TrialRecord) -> None:
        self.access.retry(lambda: ledger.tell(self.access.study, record))

    def _job(self, member: Member) -> Job:
        settings = self.settings
        job = self.trainings.job(
            member.number, member.spec, settings.trial_recipe, settings.subset, member.seed
        )
        return replace(job, checkpoint=str(self._checkpoint(member.number)))

    def _checkpoint(self, number: int) -> Any:
        return self.folder.path.resolve() / HALVES / f"{number}.pt"

    def _title(self, member: Member) -> str:
        return member.preset or f"trial {member.number} ({'; '.join(member.moves) or 'start'})"

    def _record(
        self, generation: GenerationRecord, member: Member, job: Job, outcome: Outcome
    ) -> TrialRecord:
        spec = NetSpec.from_json(member.spec)
        record = trial_record(
            job,
            outcome,
            self.context.gate.admission(spec),
            ledger.values(spec),
            preset=member.preset,
            parent=member.parent,
            moves=member.moves,
            generation=generation.number,
            arm=member.arm,
        )
        # Of both halves: the outcome knows the latter alone.
        return replace(record, seconds=sum(epoch.seconds for epoch in outcome.epochs))


def _shown(record: TrialRecord) -> str:
    loss = "-" if record.loss is None else f"{record.loss:.4f}"
    return f"loss {loss} ({percent(record.score)})"


def _forget(checkpoint: Any) -> None:
    checkpoint.unlink(missing_ok=True)
    previous(checkpoint).unlink(missing_ok=True)
