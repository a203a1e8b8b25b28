"""The driver of the trials. It asks, checks, submits and tells; workers only train."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import optuna
from optuna.trial import TrialState

from models.spec import NetSpec
from records.search import TrialRecord
from search.errors import SearchError
from search.execute.executor import EpochDone
from search.execute.job import Job, Outcome
from search.keep.folder import RunFolder
from search.keep.study import tell
from search.propose import pruning
from search.propose.gate import Admission, Gate
from search.propose.sampler import ExhaustedError, trial_seed
from search.propose.space import Space
from search.session.stop import Stopped
from search.session.trainings import Trainings
from search.show.standing import best_of, percent

FAILURES_IN_A_ROW = 10
"""After so many the fault is the set-up's, not the networks'."""


@dataclass
class Driver:
    """One driver owns a search."""

    trainings: Trainings
    folder: RunFolder
    space: Space
    gate: Gate
    study: optuna.Study
    keep: Callable[[list[TrialRecord]], None]
    """Called with all records after each trial: writes search.json and trials.csv."""
    in_time: Callable[[list[TrialRecord]], bool] = lambda records: True
    """Whether another trial may begin, judged by those that ended."""

    def run_trials(self) -> bool:
        """Train candidates until the wanted number is complete or pruned.

        Returns:
            Whether the space was exhausted before.

        Raises:
            SearchError: `FAILURES_IN_A_ROW` trials failed one after the other.
            Stopped: The user said so, and the trials that were running have ended.
        """
        trainings, wanted = self.trainings, self.trainings.settings.trials
        display, brake = trainings.display, trainings.brake
        records = self.folder.trials()
        counted = sum(record.state != "failed" for record in records)
        display.stage("trials", wanted, counted)
        failures: list[str] = []
        running: dict[int, _Candidate] = {}
        exhausted = False
        while True:
            trainings.look_around(len(running))
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
                if brake.requested:
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
                self.folder.keep(record)
                tell(self.study, record)
                records.append(record)
                if record.state == "failed":
                    failures.append(record.reason or "")
                    display.say(f"trial {record.number} failed: {record.reason}", style="yellow")
                else:
                    failures.clear()
                    counted += 1
                    display.advance(_note(record, records))
                self.keep(records)
                if len(failures) == FAILURES_IN_A_ROW:
                    raise SearchError(
                        f"{FAILURES_IN_A_ROW} trials in a row failed, the last one with: {failures[-1]}"
                    )

    def _propose(self, running: Iterable[int]) -> "_Candidate | None":
        """Return a candidate that fits and is new, or None when there is none left."""
        try:
            trial = self.study.ask(self.space.distributions)
        except ExhaustedError:
            for orphan in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if orphan.number not in running:
                    self.study.tell(orphan.number, state=TrialState.FAIL)
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
        return _Candidate(trial, spec, self.gate.judge(spec), job)

    def _weigh(self, candidate: "_Candidate", event: EpochDone) -> None:
        """Report the epoch to the study, and let the trial go on unless it is hopeless."""
        epoch, accuracy = event.epoch.epoch, event.epoch.val_accuracy
        assert accuracy is not None  # every job has validation images
        if epoch not in candidate.verdicts:  # a second attempt is judged as the first one was
            candidate.verdicts[epoch] = epoch >= self.trainings.settings.epochs or self._promising(
                candidate.trial, accuracy, epoch
            )
        self.trainings.answer(event.job, go_on=candidate.verdicts[epoch])

    def _promising(self, trial: optuna.Trial, accuracy: float, epoch: int) -> bool:
        """Tell whether a trial may go on after `epoch`."""
        if len(self.trainings.settings.objectives) > 1:
            return True  # Optuna prunes by one objective alone
        trial.report(accuracy, epoch)
        return not trial.should_prune()


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
        reason = outcome.reason
        if outcome.state == "pruned":
            reason = pruning.reason(pruner, len(outcome.epochs))
        return TrialRecord(
            number=self.job.number,
            attempt=outcome.attempt,
            state=outcome.state,
            spec=self.job.spec,
            recipe=self.job.recipe,
            seed=self.job.seed,
            values=dict(self.trial.params),
            params=self.admission.params,
            macs=self.admission.macs,
            receptive_field=self.admission.receptive_field,
            margins=self.admission.margins,
            score=outcome.score,
            seconds=outcome.seconds,
            epochs=outcome.epochs,
            reason=reason,
        )


def _note(record: TrialRecord, records: list[TrialRecord]) -> str:
    best = best_of(records)
    return (
        f"trial {record.number} {record.state} at {percent(record.score)}, "
        f"best {percent(best.score if best else None)}"
    )
