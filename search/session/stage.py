"""What a stage of a search is: a name, what it costs, how it is run, and what it finds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from records.stopping import Stop
from search.execute.executors import cluster, make
from search.execute.protocol import Executor
from search.execute.worker import Work
from search.propose.gate import Gate
from search.session.chronicle import Chronicle
from search.session.cost import Cost
from search.session.findings import Findings
from search.session.plan import SearchPlan
from search.session.trainings import Trainings
from search.show.display import Display


@dataclass
class Context:
    """What the stages of a session share.

    Attributes:
        plan: The search.
        display: Shown to the user.
        chronicle: Writes search.json and trials.csv.
        stop: Asked for by Ctrl-C and SIGTERM.
        work: What a worker does with a job.
        later: What the stages after the present one cost.
    """

    plan: SearchPlan
    display: Display
    chronicle: Chronicle
    stop: Stop
    work: Work
    later: tuple[Cost, ...] = ()
    _executors: dict[int, Executor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take over the executor of a cluster, which is reached while a search is planned."""
        if self.plan.executor is not None:
            self._executors[self.plan.settings.jobs] = self.plan.executor

    @property
    def gate(self) -> Gate:
        """Judges networks by the budget, and counts those that it turns away."""
        return self.chronicle.gate

    def trainings(self, jobs: int | None = None, pulse: Callable[[], None] = lambda: None) -> Trainings:
        """Return what runs trainings, `jobs` at a time, by default as many as the search is asked for.

        The workers of a stage before go on, unless their number is another one: each has its share of the
        machine from its start. On a cluster the share does not depend on their number.
        """
        settings = self.plan.settings
        jobs = settings.jobs if jobs is None or cluster(settings.executor) else jobs
        if jobs not in self._executors:
            self.close()
            self._executors[jobs] = make(settings.executor, jobs, settings.device, self.work)
        return Trainings(settings, self._executors[jobs], self.display, self.stop, pulse)

    def close(self) -> None:
        """End the workers."""
        while self._executors:
            self._executors.popitem()[1].close()


class Stage(Protocol):
    """One stage of a search; a new one is a class like this and an entry in `session.STAGES`."""

    name: str
    """As search.json and the screen call it."""

    def cost(self, plan: SearchPlan) -> Cost:
        """Return what the stage still has to train."""

    def run(self, context: Context, found: Findings) -> Findings:
        """Do the stage, or what an earlier session left of it; return what is known then.

        Raises:
            SearchError: It cannot be done.
            Stopped: The user asked for the end.
        """
