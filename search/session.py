"""One session of a search, from the first trial to the winner; a broken one is resumed by the next."""

import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import rfcalc
from models.spec import NetSpec
from records.codec import RecordError
from records.search import SearchRecord, TrialRecord
from search import export, folder, storage, study, worker
from search.display import Display
from search.errors import SearchError
from search.executor import LocalProcesses
from search.gate import Gate
from search.prepare import Plan
from search.sampler import GatedSampler
from search.space import WidthSpace
from search.stages import Driver
from search.stop import Brake, Stopped, brake
from search.winner import train_winner
from search.worker import Work


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
    budget = _budget()
    height, width = plan.dataset.image_size
    gate = Gate(budget, (3, height, width))
    space = WidthSpace(plan.base)
    chronicle = export.Chronicle(plan, export.trial_facts(plan), gate, _command(plan.settings.storage))
    session = _Session(plan, display, gate, space, chronicle)
    with folder.locked(plan.folder), brake() as pulled:
        try:
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
    space: WidthSpace
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
        sampler = GatedSampler(
            self.space, lambda values: self.gate.admits(self.space.spec(values)), settings.seed
        )
        for record in records:
            sampler.mark_met({name: int(value) for name, value in record.values.items()})
        with ExitStack() as stack:
            stack.enter_context(
                storage.failures(url, "the study's database failed; once it is well, --resume continues")
            )
            trials = study.open_study(name, url, sampler)
            pulse = stack.enter_context(storage.held(url, name))
            storage.claim(trials, plan.folder.path, bool(records))
            again = study.settle(trials, records, self.space.choices)
            if again:
                self.display.say(
                    f"{again} trial{'s' if again > 1 else ''} cut short by the break will be run again"
                )
            self._keep(records)
            executor = LocalProcesses(settings.jobs, settings.device, work)
            stack.callback(executor.close)
            driver = Driver(
                settings,
                plan.folder,
                self.space,
                self.gate,
                trials,
                executor,
                self.display,
                self._keep,
                pulled,
                pulse,
            )
            exhausted = driver.run_trials()
            if exhausted:
                self.display.say(
                    "the space is exhausted: every network of it was trained or breaks the budget", "yellow"
                )
            chronicle.importances = study.importances(trials)
            chronicle.stage = "finalists"
            chronicle.keep(plan.folder.trials())
            chronicle.finalists = tuple(driver.run_finalists())
        return exhausted

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
        if export.clear_for(plan.folder.best, NetSpec.from_json(spec)):
            export.write_network(plan.folder.best, NetSpec.from_json(spec))
            train_winner(plan, NetSpec.from_json(spec), self.display, chronicle.command, pulled)
        chronicle.verdict = export.judge(
            plan.folder.best / "model.py", self.gate.budget, self.gate.input_size
        )


def _budget() -> rfcalc.Budget:
    """Return the project's own budget, `[tool.rfcalc]` of the pyproject.toml above this file.

    Raises:
        SearchError: There is none.
    """
    from rfcalc.budget import find_budget

    found = find_budget(Path(__file__).resolve().parent)
    if found is None:
        raise SearchError(
            "pyproject.toml: the table [tool.rfcalc] is missing, so there is no budget to search in"
        )
    return found[0]


def _command(url: str | None) -> str:
    """Return the command line as it is kept in records, which others read."""
    return storage.scrubbed(" ".join(["python -m search", *sys.argv[1:]]), url)
