"""The driver: trials, then finalists. It asks, checks, submits and tells; workers only train."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean as mean

import optuna
from optuna.trial import TrialState

from models.spec import NetSpec
from records.search import Finalist, TrialRecord
from search import pruning
from search.attempts import Attempts
from search.display import Display
from search.errors import SearchError
from search.executor import EpochDone, Event, Executor, JobDone
from search.folder import RunFolder
from search.gate import Admission, Gate
from search.job import DataRequest, Job, Outcome
from search.sampler import ExhaustedError, trial_seed
from search.settings import Settings
from search.space import Space
from search.standing import best_of, percent
from search.stop import Brake, Stopped
from search.study import tell
from training.recipe import Recipe

FAILURES_IN_A_ROW = 10
"""After so many the fault is the set-up's, not the networks'."""
HEARTBEAT = 1.0
"""Seconds after which the driver looks around though nothing happened."""


@dataclass
class Driver:
    """One driver owns a search."""

    settings: Settings
    folder: RunFolder
    space: Space
    gate: Gate
    study: optuna.Study
    executor: Executor
    display: Display
    keep: Callable[[list[TrialRecord]], None]
    """Called with all records after each trial: writes search.json and trials.csv."""
    brake: Brake = field(default_factory=Brake)
    pulse: Callable[[], None] = lambda: None
    """Called about every second; raises when the search may not go on."""
    in_time: Callable[[list[TrialRecord]], bool] = lambda records: True
    """Whether another trial may begin, judged by those that ended."""

    def __post_init__(self) -> None:
        """Give each job its second chances."""
        self._attempts = Attempts(self.executor, self.settings.retries, self._note_retry)
        self._braking = False

    def run_trials(self) -> bool:
        """Train candidates until the wanted number is complete or pruned.

        Returns:
            Whether the space was exhausted before.

        Raises:
            SearchError: `FAILURES_IN_A_ROW` trials failed one after the other.
            Stopped: The user said so, and the trials that were running have ended.
        """
        records = self.folder.trials()
        counted = sum(record.state != "failed" for record in records)
        self.display.stage("trials", self.settings.trials, counted)
        failures: list[str] = []
        running: dict[int, _Candidate] = {}
        exhausted = False
        while True:
            self._look_around(len(running))
            while (
                self._attempts.free
                and not exhausted
                and not self.brake.requested
                and counted + len(running) < self.settings.trials
                and self.in_time(records)
            ):
                candidate = self._propose(running)
                if candidate is None:
                    exhausted = True
                    break
                running[candidate.trial.number] = candidate
                self._submit(candidate.job)
            if not running:
                if self.brake.requested:
                    raise Stopped
                return exhausted
            for event in self._attempts.wait(HEARTBEAT):
                candidate = running[event.job.number]
                if isinstance(event, EpochDone):
                    self._weigh(candidate, event)
                    continue
                del running[event.job.number]
                self.display.ended(event.job)
                record = candidate.record(event.outcome, self.settings.pruner)
                # The record first: a trial that has one is finished, whatever happens before the study knows.
                self.folder.keep(record)
                tell(self.study, record)
                records.append(record)
                if record.state == "failed":
                    failures.append(record.reason or "")
                    self.display.say(f"trial {record.number} failed: {record.reason}", style="yellow")
                else:
                    failures.clear()
                    counted += 1
                    self.display.advance(_note(record, records))
                self.keep(records)
                if len(failures) == FAILURES_IN_A_ROW:
                    raise SearchError(
                        f"{FAILURES_IN_A_ROW} trials in a row failed, the last one with: {failures[-1]}"
                    )

    def run_finalists(self) -> list[Finalist]:
        """Train the best trials again, longer, and return them, the best first.

        Raises:
            SearchError: No trial was completed, or no finalist.
        """
        best = sorted(
            (
                record
                for record in self.folder.trials()
                if record.state == "complete" and record.score is not None
            ),
            key=lambda record: (-(record.score or 0), record.number),
        )[: self.settings.finalists]
        if not best:
            raise SearchError(
                "no trial was completed, there is nothing to choose from; trials.csv has the reasons"
            )
        runs = [(trial, run) for run in range(1, self.settings.final_seeds + 1) for trial in best]
        ended = {
            (record.number, run): record
            for run in range(1, self.settings.final_seeds + 1)
            for record in self.folder.trials(_shelf(run))
            if record.state == "complete"
        }
        todo = [(trial, run) for trial, run in runs if (trial.number, run) not in ended]
        self.display.stage("finalists", len(runs), len(runs) - len(todo))
        for trial, run, outcome in self._train_all(todo):
            record = replace(
                trial,
                attempt=outcome.attempt,
                state=outcome.state,
                recipe=self.settings.final_recipe.to_json(),
                seed=self._seed(trial.number, run),
                score=outcome.score,
                seconds=outcome.seconds,
                epochs=outcome.epochs,
                reason=outcome.reason,
            )
            self.folder.keep(record, _shelf(run))
            if record.state == "complete":
                ended[record.number, run] = record
                self.display.advance(f"trial {record.number}: {percent(record.score)}")
            else:
                self.display.say(f"finalist {record.number} failed: {record.reason}", style="yellow")
        longer = {
            trial.number: [
                ended[key] for each, run in runs if each is trial and (key := (each.number, run)) in ended
            ]
            for trial in best
        }
        chosen = [_finalist(trial, longer[trial.number]) for trial in best if longer[trial.number]]
        if not chosen:
            raise SearchError("every finalist failed; see the reasons in the folder finalists/")
        return sorted(chosen, key=lambda finalist: (-finalist.score, finalist.number))

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
        job = self._job(trial.number, spec.to_json(), self.settings.trial_recipe, self.settings.subset)
        return _Candidate(trial, spec, self.gate.judge(spec), job)

    def _weigh(self, candidate: "_Candidate", event: EpochDone) -> None:
        """Report the epoch to the study, and let the trial go on unless it is hopeless."""
        epoch, accuracy = event.epoch.epoch, event.epoch.val_accuracy
        assert accuracy is not None  # every job has validation images
        self.display.heard(event.job, event.epoch)
        if epoch not in candidate.verdicts:  # a second attempt is judged as the first one was
            candidate.verdicts[epoch] = epoch >= self.settings.epochs or self._promising(
                candidate.trial, accuracy, epoch
            )
        self._attempts.answer(event.job, go_on=candidate.verdicts[epoch])

    def _promising(self, trial: optuna.Trial, accuracy: float, epoch: int) -> bool:
        """Tell whether a trial may go on after `epoch`."""
        if len(self.settings.objectives) > 1:
            return True  # Optuna prunes by one objective alone
        trial.report(accuracy, epoch)
        return not trial.should_prune()

    def _train_all(
        self, runs: Iterable[tuple[TrialRecord, int]]
    ) -> Iterator[tuple[TrialRecord, int, Outcome]]:
        """Train with the finalists' budget; yield each trial and the number of its run with its outcome."""
        waiting = list(runs)
        running: dict[tuple[int, int], tuple[TrialRecord, int]] = {}
        recipe, images = self.settings.final_recipe, self.settings.final_subset
        while waiting or running:
            self._look_around(len(running))
            if self.brake.requested and not running:
                raise Stopped
            while waiting and self._attempts.free and not self.brake.requested:
                trial, run = waiting.pop(0)
                job = self._job(trial.number, trial.spec, recipe, images, run)
                running[job.key] = trial, run
                self._submit(job)
            events: Iterable[Event] = self._attempts.wait(HEARTBEAT)
            for event in events:
                if isinstance(event, JobDone):
                    self.display.ended(event.job)
                    yield *running.pop(event.job.key), event.outcome
                else:
                    self.display.heard(event.job, event.epoch)
                    self._attempts.answer(event.job, go_on=True)

    def _look_around(self, running: int) -> None:
        """Notice what does not come from a worker."""
        self.brake.check()
        self.pulse()
        if self.brake.requested and not self._braking:
            self._braking = True
            if running:
                what = "the running training ends" if running == 1 else f"the {running} running trainings end"
                self.display.say(f"stopping: {what} first; Ctrl-C again stops now", style="yellow")

    def _submit(self, job: Job) -> None:
        self.display.began(job)
        self._attempts.submit(job)

    def _note_retry(self, job: Job, reason: str) -> None:
        self.display.began(replace(job, attempt=job.attempt + 1))
        self.display.say(f"trial {job.number} failed, it is tried again: {reason}", style="yellow")

    def _seed(self, number: int, run: int) -> int:
        """Return the seed of a trial's run: the first has the trial's own."""
        own = trial_seed(self.settings.seed, number)
        return own if run == 1 else trial_seed(own, run)

    def _job(
        self, number: int, spec: dict[str, object], recipe: Recipe, images: int | None, run: int = 1
    ) -> Job:
        settings = self.settings
        return Job(
            number=number,
            attempt=1,
            spec=spec,
            recipe=recipe.to_json(),
            seed=self._seed(number, run),
            data=DataRequest(settings.data, settings.cache, settings.resize, images, settings.seed),
        )


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


def _shelf(run: int) -> str:
    """Return the folder that holds the records of the finalists' first, second, ... runs."""
    return "finalists" if run == 1 else f"finalists/run-{run}"


def _finalist(trial: TrialRecord, runs: Sequence[TrialRecord]) -> Finalist:
    scores = tuple(record.score for record in runs if record.score is not None)
    assert scores
    assert trial.score is not None
    return Finalist(
        number=trial.number,
        score=mean(scores),
        trial_score=trial.score,
        params=trial.params,
        macs=trial.macs,
        receptive_field=trial.receptive_field,
        epochs=len(runs[0].epochs),
        seconds=sum(record.seconds for record in runs),
        scores=scores if len(scores) > 1 else (),
    )
