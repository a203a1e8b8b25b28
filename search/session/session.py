"""One session of a search, from the first trial to the winner; a broken one is resumed by the next."""

import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from models.spec import NetSpec
from records.codec import RecordError
from records.search import FrontPoint, SearchRecord, TrialRecord
from search.errors import SearchError
from search.execute import worker
from search.execute.executor import LocalProcesses
from search.execute.worker import Work
from search.keep import folder, storage, study
from search.propose.gate import Gate
from search.propose.objectives import front
from search.propose.proposals import Proposals, enqueue_anchors, make_sampler
from search.session import identity
from search.session import results as export
from search.session.finals import Finals
from search.session.prepare import Plan
from search.session.stages import Driver
from search.session.stop import Brake, Stopped, brake
from search.session.timing import TimeLimit
from search.session.trainings import Trainings
from search.session.winner import train_winner
from search.show.display import Display
from training.data.registry import holdout


def run(plan: Plan, display: Display, work: Work = worker.run) -> SearchRecord:
    """Drive the search to its end.

    Args:
        plan: What to do.
        display: Shown to the user.
        work: What a worker does with a job; another one than training is for campaigns that kill searches.

    Raises:
        SearchError: It cannot go on; search.json says why, and --resume continues.
        Stopped: The user stopped it; likewise.
    """
    gate = Gate(plan.budget, plan.base.input_size)
    chronicle = export.Chronicle(plan, export.trial_facts(plan), gate, _command(plan.settings.storage))
    session = _Session(plan, display, gate, chronicle)
    with folder.locked(plan.folder), brake() as pulled:
        try:
            plan.folder.winner.settle()
            return session.stages(pulled, work)
        except Stopped:
            session.give_up("stopped by the user")
            raise
        except Exception as error:
            session.give_up(str(error).partition("\n")[0])
            if isinstance(error, OSError):
                raise SearchError(
                    f"{error.filename or plan.folder.path}: cannot be written ({error.strerror or error}); "
                    "once it can be, --resume continues"
                ) from error
            raise


@dataclass(frozen=True)
class _Session:
    plan: Plan
    display: Display
    gate: Gate
    chronicle: export.Chronicle

    def stages(self, pulled: Brake, work: Work) -> SearchRecord:
        """Go through what is left of trials, finalists and winner."""
        state = "exhausted" if self._trials(pulled, work) else "finished"
        self._winner(pulled)
        records = self.plan.folder.trials()
        self.chronicle.stage = "done"
        self.chronicle.keep(records, state)
        return self.chronicle.record(records, state)

    def give_up(self, reason: str) -> None:
        """Write down why it ends early, where the disk still takes it; the trials are kept anyway."""
        with suppress(OSError, RecordError):
            self.chronicle.keep(self.plan.folder.trials(), "stopped", reason)

    def _trials(self, pulled: Brake, work: Work) -> bool:
        """Run trials and finalists; return whether the space was exhausted."""
        plan, settings, chronicle = self.plan, self.plan.settings, self.chronicle
        url = settings.storage or plan.folder.storage()
        name = plan.folder.path.name
        records = plan.folder.trials()
        proposals = Proposals(plan.space, self.gate)
        sampler = make_sampler(plan, proposals, records)
        with ExitStack() as stack:
            stack.enter_context(
                storage.failures(url, "the study's database failed; once it is well, --resume continues")
            )
            backend = storage.reach(url)
            stack.callback(storage.release, backend)
            trials = study.open_study(name, backend, sampler, settings)
            pulse = stack.enter_context(storage.held(url, name))
            storage.claim(trials, plan.folder.path, bool(records))
            identity.claim(trials, identity.identity(plan, plan.space))
            anchors = enqueue_anchors(trials, plan.space, proposals)
            if anchors:
                self.display.say(f"tried first: {', '.join(anchors)}")
            again = study.settle(trials, records, plan.space.choices)
            if again:
                self.display.say(
                    f"{again} trial{'s' if again > 1 else ''} cut short by the break will be run again"
                )
            self._keep(records)
            executor = LocalProcesses(settings.jobs, settings.device, work)
            stack.callback(executor.close)
            trainings = Trainings(settings, executor, self.display, pulled, pulse)
            driver = Driver(
                trainings, plan.folder, plan.space, self.gate, trials, self._keep, self._limit().allows
            )
            exhausted = driver.run_trials()
            if settings.time_limit is not None and not exhausted:
                self._note_time(plan.folder.trials())
            if exhausted:
                self.display.say(
                    "the space is exhausted: every network of it was trained or breaks the budget", "yellow"
                )
            chronicle.front = self._front()
            chronicle.importances = study.importances(trials)
            chronicle.stage = "finalists"
            chronicle.keep(plan.folder.trials())
            finals = Finals(trainings, plan.folder)
            chronicle.finalists = tuple(finals.run_finalists())
            chronicle.presets = tuple(finals.run_presets(self.gate, plan.base.classes))
        return exhausted

    def _limit(self) -> TimeLimit:
        plan = self.plan
        train, _ = holdout(plan.dataset.train.labels)
        spent = plan.previous.seconds if plan.previous else 0.0
        return TimeLimit(plan.settings, len(train), len(plan.dataset.train), spent)

    def _note_time(self, records: list[TrialRecord]) -> None:
        """Say so where the time limit ended the trials."""
        ended = sum(record.state != "failed" for record in records)
        if ended < self.plan.settings.trials:
            self.chronicle.note = (
                f"the time limit ended the trials after {ended} of {self.plan.settings.trials}"
            )
            self.display.say(self.chronicle.note, "yellow")

    def _front(self) -> tuple[FrontPoint, ...]:
        """Return the Pareto front, where there is more than one objective."""
        objectives = self.plan.settings.objectives
        return front(self.plan.folder.trials(), objectives) if len(objectives) > 1 else ()

    def _keep(self, records: list[TrialRecord]) -> None:
        self.display.tally(self.chronicle.keep(records), records)

    def _winner(self, pulled: Brake) -> None:
        """Train the best finalist, unless an earlier session has."""
        plan, chronicle = self.plan, self.chronicle
        chronicle.winner = chronicle.finalists[0].number
        chronicle.stage = "winner"
        records = plan.folder.trials()
        chronicle.keep(records)
        spec = next(record.spec for record in records if record.number == chronicle.winner)
        network = NetSpec.from_json(spec)
        building = plan.folder.winner.begin(network.to_json())
        if building is not None:
            export.write_network(building, network)
            train_winner(plan, network, building, self.display, chronicle.command, pulled)
            plan.folder.winner.swap()
        chronicle.verdict = export.judge(
            plan.folder.best / "model.py", self.gate.budget, self.gate.input_size
        )


def _command(url: str | None) -> str:
    """Return the command line as it is kept in records, which others read."""
    return storage.scrubbed(" ".join(["python -m search", *sys.argv[1:]]), url)
