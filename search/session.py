"""One session of a search, from the first trial to the winner; a broken one is resumed by the next."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rfcalc
from models.spec import NetSpec
from records.search import SearchRecord
from search import export, folder, study
from search.display import Display
from search.errors import SearchError
from search.executor import LocalProcesses
from search.gate import Gate
from search.prepare import Plan
from search.sampler import GatedSampler
from search.space import WidthSpace
from search.stages import Driver
from search.winner import train_winner


class Stopped(Exception):  # noqa: N818 (not an error: the user said stop)
    """SIGINT or SIGTERM arrived."""


def run(plan: Plan, display: Display) -> SearchRecord:
    """Drive the search to its end.

    Raises:
        SearchError: It cannot go on; search.json says why, and --resume continues.
        Stopped: The user stopped it; likewise.
    """
    budget = _budget()
    height, width = plan.dataset.image_size
    gate = Gate(budget, (3, height, width))
    space = WidthSpace(plan.base)
    chronicle = export.Chronicle(plan, export.trial_facts(plan), gate, _command())
    with folder.locked(plan.folder), _stoppable():
        try:
            return _stages(plan, display, gate, space, chronicle)
        except (Stopped, KeyboardInterrupt):
            chronicle.keep(plan.folder.trials(), "stopped", "stopped by the user")
            raise Stopped from None
        except Exception as error:
            chronicle.keep(plan.folder.trials(), "stopped", str(error).partition("\n")[0])
            raise


def _stages(
    plan: Plan, display: Display, gate: Gate, space: WidthSpace, chronicle: export.Chronicle
) -> SearchRecord:
    settings = plan.settings
    sampler = GatedSampler(space, lambda values: gate.admits(space.spec(values)), settings.seed)
    records = plan.folder.trials()
    for record in records:
        sampler.mark_met({name: int(value) for name, value in record.values.items()})
    storage = settings.storage or plan.folder.storage()
    trials = study.open_study(plan.folder.path.name, storage, sampler)
    again = study.settle(trials, records, space.choices)
    if again:
        display.say(f"{again} trial{'s' if again > 1 else ''} cut short by the break will be run again")
    chronicle.keep(records)
    executor = LocalProcesses(settings.jobs, settings.device)
    try:
        driver = Driver(settings, plan.folder, space, gate, trials, executor, display, chronicle.keep)
        exhausted = driver.run_trials()
        if exhausted:
            display.say(
                "the space is exhausted: every network of it was trained or breaks the budget", "yellow"
            )
        chronicle.importances = study.importances(trials)
        chronicle.stage = "finalists"
        chronicle.keep(plan.folder.trials())
        chronicle.finalists = tuple(driver.run_finalists())
    finally:
        executor.close()
    chronicle.winner = chronicle.finalists[0].number
    chronicle.stage = "winner"
    records = plan.folder.trials()
    chronicle.keep(records)
    spec = NetSpec.from_json(next(record.spec for record in records if record.number == chronicle.winner))
    if export.clear_for(plan.folder.best, spec):
        export.write_network(plan.folder.best, spec)
        train_winner(plan, spec, display, chronicle.command)
    chronicle.verdict = export.judge(plan.folder.best / "model.py", gate.budget, gate.input_size)
    chronicle.stage = "done"
    chronicle.keep(records, "exhausted" if exhausted else "finished")
    return chronicle.record(records, "exhausted" if exhausted else "finished")


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


def _command() -> str:
    return " ".join(["python -m search", *sys.argv[1:]])


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn SIGTERM into `Stopped`, so that it leaves as cleanly as Ctrl-C."""

    def stop(number: int, frame: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
