"""The stage of the trials: it asks, checks, submits and tells the study; workers only train."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.trial import TrialState

from models.spec import NetSpec
from records.run import EpochRecord
from records.stopping import Stopped
from records.text import percent, plural
from records.trial import TrialRecord
from search import pruning
from search.errors import SearchError
from search.execute.job import Job, Outcome
from search.execute.protocol import EpochDone
from search.keep import study
from search.keep.folder import RunFolder
from search.propose.around import AROUND
from search.propose.gate import Admission, Gate
from search.propose.objectives import front
from search.propose.proposals import Proposals, enqueue_anchors, make_sampler
from search.propose.sampler import ExhaustedError, GatedSampler, trial_seed
from search.propose.space import Space
from search.session.climb import climb
from search.session.cost import Cost
from search.session.ended import trial_record
from search.session.findings import Findings
from search.session.opened import opened
from search.session.plan import SearchPlan
from search.session.stage import Context
from search.session.timing import TimeLimit
from search.session.trainings import Trainings
from search.show.standing import best_of

FAILURES_IN_A_ROW = 10
"""After so many the fault is the set-up's, not the networks'."""
PRUNED_SHARE = 0.75
"""Share of the epochs that trials train where half of them end at half."""


class Trials:
    """The stage of the trials."""

    name = "trials"

    def cost(self, plan: SearchPlan) -> Cost:
        """Return what the trials that are missing cost."""
        missing = max(0, plan.settings.trials - count_ended(plan.folder.trials()))
        return _cost(plan, missing * PRUNED_SHARE)

    def run(self, context: Context, found: Findings) -> Findings:
        """Train candidates until there are as many as were asked for, or space or time are exhausted."""
        if context.plan.settings.space == AROUND:
            return climb(context, found)
        plan, settings, chronicle = context.plan, context.plan.settings, context.chronicle
        records = plan.folder.trials()
        proposals = Proposals(plan.space, context.gate)
        sampler = make_sampler(settings, plan.space, proposals, records)
        with opened(context, sampler, records) as access:
            trials, retry = access.study, access.retry
            if anchors := enqueue_anchors(trials, plan.space, proposals):
                context.display.say(f"tried first: {', '.join(anchors)}")
            if again := retry(lambda: study.settle(trials, records, plan.space.choices)):
                context.display.say(f"{plural(again, 'trial')} cut short by the break will be run again")

            def keep(records: list[TrialRecord]) -> None:
                if (record := chronicle.keep_soon(records)) is not None:
                    context.display.tally(record, records)

            keep(records)
            driver = Driver(
                context.trainings(pulse=lambda: retry(access.look)),
                plan.folder,
                plan.space,
                context.gate,
                trials,
                keep,
                self._limit(context).allows,
                retry,
            )
            exhausted = driver.run_trials()
            importances = retry(lambda: study.importances(trials))
        records = plan.folder.trials()
        if exhausted:
            context.display.notice(
                "the space is exhausted: every network of it was trained or breaks the budget"
            )
        reason = None
        if not exhausted and (ended := count_ended(records)) < settings.trials:
            reason = f"the time limit ended the trials after {ended} of {settings.trials}"
            context.display.notice(reason)
        several = len(settings.objectives) > 1
        return replace(
            found,
            importances=importances,
            front=front(records, settings.objectives) if several else (),
            exhausted=exhausted,
            reason=reason,
        )

    def _limit(self, context: Context) -> TimeLimit:
        plan = context.plan
        return TimeLimit(plan.settings.time_limit, _cost(plan, 1), context.later, context.chronicle.elapsed)


def count_ended(records: Iterable[TrialRecord]) -> int:
    """Return how many trials count towards those that were asked for: a failed one does not."""
    return sum(record.state != "failed" for record in records)


def _cost(plan: SearchPlan, trials: float) -> Cost:
    settings = plan.settings
    images = min(plan.train_images, settings.subset or plan.train_images)
    return Cost(trials, settings.epochs, images, plan.validation_images, settings.jobs)


@dataclass
class Driver:
    """Drives the trials; one driver owns a study."""

    trainings: Trainings
    folder: RunFolder
    space: Space
    gate: Gate
    study: optuna.Study
    keep: Callable[[list[TrialRecord]], None]
    """Called with all records after each trial: writes search.json and trials.csv."""
    in_time: Callable[[list[TrialRecord]], bool] = lambda records: True
    """Whether another trial may begin, judged by those that ended."""
    retry: Callable[..., Any] = lambda action, mend=None: action()
    """Asks the database, and waits for it where it is away."""

    def run_trials(self) -> bool:
        """Train candidates until the wanted number is complete or pruned.

        Returns:
            Whether the space was exhausted before.

        Raises:
            SearchError: `FAILURES_IN_A_ROW` trials failed one after the other.
            Stopped: The user asked for the end, and the trials that were running have ended.
        """
        trainings, wanted = self.trainings, self.trainings.settings.trials
        display, stop = trainings.display, trainings.stop
        records = self.folder.trials()
        counted, best = count_ended(records), best_of(records)
        display.stage("trials", wanted, counted)
        failures: list[str] = []
        running: dict[int, _Candidate] = {}
        exhausted = False
        while True:
            trainings.look_around(len(running))
            self.keep(records)  # what was left out a moment ago
            while (
                trainings.free and not exhausted and counted + len(running) < wanted and self.in_time(records)
            ):
                candidate = self._propose(running)
                if candidate is None:
                    exhausted = True
                    break
                running[candidate.trial.number] = candidate
                trainings.submit(candidate.job, f"trial {candidate.job.number}")
            if not running:
                if stop.asked:
                    raise Stopped
                return exhausted
            for event in trainings.wait():
                candidate = running[event.job.number]
                if isinstance(event, EpochDone):
                    self._weigh(candidate, event)
                    continue
                del running[event.job.number]
                record = candidate.record(event.outcome, trainings.settings.pruner)
                # The record first: a trial that has one is finished, whatever happens before the study knows.
                self.folder.keep_losses(record, event.outcome.losses)
                self.folder.keep(record)
                self._tell(record)
                records.append(record)
                best = best_of((record,) if best is None else (best, record))
                if record.state == "failed":
                    failures.append(record.reason or "")
                    display.say(f"trial {record.number} failed: {record.reason}", style="yellow")
                else:
                    failures.clear()
                    counted += 1
                    display.advance(_note(record, best))
                self.keep(records)
                if len(failures) == FAILURES_IN_A_ROW:
                    raise SearchError(
                        f"{FAILURES_IN_A_ROW} trials in a row failed, the last one with: {failures[-1]}"
                    )

    def _propose(self, running: Collection[int]) -> "_Candidate | None":
        """Return a candidate that fits and is new, or None when there is none left."""
        try:
            trial = self.retry(lambda: self.study.ask(self.space.distributions), lambda: self._mend(running))
        except ExhaustedError:
            self.retry(lambda: self._close_orphans(running))
            return None
        spec = self.space.spec(trial.params)
        settings = self.trainings.settings
        job = self.trainings.job(
            trial.number,
            spec.to_json(),
            settings.trial_recipe,
            settings.subset,
            trial_seed(settings.seed, trial.number),
        )
        return _Candidate(trial, spec, self.gate.admission(spec), job)

    def _close_orphans(self, running: Collection[int]) -> None:
        """End the trials that the study began and nobody trains."""
        for orphan in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if orphan.number not in running:
                self.study.tell(orphan.number, state=TrialState.FAIL, skip_if_finished=True)

    def _mend(self, running: Collection[int]) -> None:
        """Clear away a trial that was half made when the database went away, and propose its values again."""
        self._close_orphans(running)
        sampler = self.study.sampler
        if isinstance(sampler, GatedSampler) and sampler.latest is not None:
            values = dict(sampler.latest)  # they are met, so they would not be drawn again
            waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            # This may be the third try, or a proposal that was waiting before.
            if all(trial.system_attrs.get("fixed_params") != values for trial in waiting):
                self.study.enqueue_trial(values)

    def _tell(self, record: TrialRecord) -> None:
        self.retry(lambda: study.tell(self.study, record))

    def _weigh(self, candidate: "_Candidate", event: EpochDone) -> None:
        """Report the epoch to the study, and let the trial go on unless it is hopeless."""
        epoch, value = event.epoch.epoch, self._judged_by(event.epoch)
        if epoch not in candidate.verdicts:  # a second attempt is judged as the first one was
            candidate.verdicts[epoch] = epoch >= self.trainings.settings.epochs or self._promising(
                candidate.trial, value, epoch
            )
        self.trainings.answer(event.job, go_on=candidate.verdicts[epoch])

    def _judged_by(self, epoch: EpochRecord) -> float:
        """Return what the search goes by: validation loss, or accuracy where that was asked for."""
        by_loss = "loss" in self.trainings.settings.objectives
        value = epoch.val_loss if by_loss else epoch.val_accuracy
        assert value is not None  # every job has validation images
        return value

    def _promising(self, trial: optuna.Trial, value: float, epoch: int) -> bool:
        """Return whether a trial may go on after `epoch`."""
        if len(self.trainings.settings.objectives) > 1:
            return True  # Optuna prunes by one objective alone
        self.retry(lambda: trial.report(value, epoch))
        return not self.retry(trial.should_prune)


@dataclass(frozen=True)
class _Candidate:
    """A proposal that was admitted."""

    trial: optuna.Trial
    spec: NetSpec
    admission: Admission
    job: Job
    verdicts: dict[int, bool] = field(default_factory=dict)
    """By epoch, whether it may go on."""

    def record(self, outcome: Outcome, pruner: str) -> TrialRecord:
        record = trial_record(self.job, outcome, self.admission, self.trial.params)
        if outcome.state == "pruned":
            return replace(record, reason=pruning.reason(pruner, len(outcome.epochs)))
        return record


def _note(record: TrialRecord, best: TrialRecord | None) -> str:
    return (
        f"trial {record.number} {record.state} at {percent(record.score)}, "
        f"best {percent(best.score if best else None)}"
    )
