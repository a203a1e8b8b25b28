"""One session of a search, from the first trial to the winner; a broken one is resumed by the next."""

import signal
import sys
import time
from contextlib import suppress

from records.codec import RecordError
from records.errors import one_line
from records.search import SearchRecord
from records.stopping import Stopped, stopping
from search.errors import SearchError
from search.execute import worker
from search.execute.worker import Work
from search.keep import folder, storage
from search.propose.gate import Gate
from search.session.chronicle import WINNER, Chronicle
from search.session.cost import Cost
from search.session.finals import Finalists
from search.session.plan import SearchPlan
from search.session.presets import Presets
from search.session.stage import Context, Stage
from search.session.trials import Trials
from search.session.winner import Winner
from search.show.display import Display

STAGES: tuple[Stage, ...] = (Presets(), Trials(), Finalists(), Winner())
"""What a search does, in this order."""
DONE = "done"
"""The stage of a search that has ended."""


def costs(plan: SearchPlan) -> dict[str, Cost]:
    """Return what each stage still has to train, by its name."""
    return {stage.name: stage.cost(plan) for stage in STAGES}


def run(plan: SearchPlan, display: Display, work: Work = worker.run) -> SearchRecord:
    """Drive the search to its end.

    Args:
        plan: What to do.
        display: Shown to the user.
        work: What a worker does with a job; another one than training is for campaigns that kill searches.

    Raises:
        SearchError: It cannot go on; search.json has the reason, and --resume continues.
        Stopped: The user stopped it; likewise.
        UserError: The folder of the run cannot be written.
    """
    folder.make(plan.folder.path)
    gate = Gate(plan.budget, plan.base.input_size)
    chronicle = Chronicle(plan, gate, _command(plan.settings.storage))
    with folder.locked(plan.folder), stopping(insistent=(signal.SIGTERM,)) as stop:
        try:
            plan.folder.winner.settle()
            return _go_through(Context(plan, display, chronicle, stop, work))
        except Stopped:
            _give_up(chronicle, "stopped by the user")
            raise
        except Exception as error:
            _give_up(chronicle, str(error).partition("\n")[0])
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):  # that is of the output
                raise SearchError(
                    f"{error.filename or plan.folder.path}: cannot be written ({error.strerror or error}); "
                    "once it can be, --resume continues"
                ) from error
            raise


def _go_through(context: Context) -> SearchRecord:
    """Do what is left of each stage."""
    plan, chronicle = context.plan, context.chronicle
    try:
        for place, stage in enumerate(STAGES):
            # The winner's own training is outside of the time limit.
            context.later = tuple(each.cost(plan) for each in STAGES[place + 1 :] if each.name != WINNER)
            chronicle.stage = stage.name
            chronicle.keep(plan.folder.trials())
            began, cost = time.monotonic(), stage.cost(plan)
            try:
                chronicle.findings = stage.run(context, chronicle.findings)
            finally:
                chronicle.ended(stage.name, cost, time.monotonic() - began)
    finally:
        context.close()
    chronicle.stage = DONE
    return chronicle.keep(plan.folder.trials(), "exhausted" if chronicle.findings.exhausted else "finished")


def _give_up(chronicle: Chronicle, reason: str) -> None:
    """Write down why the search ends early, where the disk still takes it; the trials are kept anyway."""
    with suppress(OSError, RecordError):
        chronicle.keep(chronicle.plan.folder.trials(), "stopped", reason)


def _command(url: str | None) -> str:
    """Return the command line as it is kept in records, which others read."""
    return one_line(storage.scrubbed(" ".join(["python -m search", *sys.argv[1:]]), url))
