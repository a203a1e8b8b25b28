"""What every stage does with trainings: submit them, listen to them, stop where the user says so."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from search.execute.attempts import Attempts
from search.execute.executor import EpochDone, Event, Executor
from search.execute.job import DataRequest, Job, Outcome
from search.session.stop import Brake, Stopped
from search.settings import Settings
from search.show.display import Display
from training.fit.recipe import Recipe

HEARTBEAT = 1.0
"""Seconds after which the driver looks around though nothing happened."""


@dataclass
class Trainings:
    """The trainings of a search, whatever the stage.

    Attributes:
        settings: Of the search.
        executor: Where the trainings run.
        display: Shown to the user.
        brake: Pulled by Ctrl-C.
        pulse: Called about every second; raises when the search may not go on.
    """

    settings: Settings
    executor: Executor
    display: Display
    brake: Brake = field(default_factory=Brake)
    pulse: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        """Give each job its second chances."""
        self._attempts = Attempts(self.executor, self.settings.retries, self._note_retry)
        self._titles: dict[tuple[int, int], str] = {}
        self._braking = False

    @property
    def free(self) -> int:
        """How many more trainings may begin now: none once the user has said stop."""
        return 0 if self.brake.requested else self._attempts.free

    def job(self, number: int, spec: dict[str, Any], recipe: Recipe, images: int | None, seed: int) -> Job:
        """Return the first attempt at training `spec` on so many images."""
        settings = self.settings
        data = DataRequest(settings.data, settings.cache, settings.resize, images, settings.seed)
        return Job(number=number, attempt=1, spec=spec, recipe=recipe.to_json(), seed=seed, data=data)

    def submit(self, job: Job, title: str) -> None:
        """Begin a training, which the user knows as `title`; there must be a free slot."""
        self._titles[job.key] = title
        self.display.began(job, title)
        self._attempts.submit(job)

    def wait(self) -> Sequence[Event]:
        """Return what happened, an empty sequence after `HEARTBEAT` seconds if nothing did; show it."""
        events = self._attempts.wait(HEARTBEAT)
        for event in events:
            if isinstance(event, EpochDone):
                self.display.heard(event.job, event.epoch)
            else:
                self.display.ended(event.job)
                del self._titles[event.job.key]
        return events

    def answer(self, job: Job, *, go_on: bool) -> None:
        """Let a training that reported an epoch go on, or end it there."""
        self._attempts.answer(job, go_on=go_on)

    def look_around(self, running: int) -> None:
        """Notice what does not come from a worker, while so many trainings run."""
        self.brake.check()
        self.pulse()
        if self.brake.requested and not self._braking:
            self._braking = True
            if running:
                what = "the running training ends" if running == 1 else f"the {running} running trainings end"
                self.display.say(f"stopping: {what} first; Ctrl-C again stops now", style="yellow")

    def whole(self, jobs: Iterable[tuple[Job, str]]) -> Iterator[tuple[Job, str, Outcome]]:
        """Train jobs with their titles to the end of their recipes; yield both with its outcome as it ends.

        Raises:
            Stopped: The user said so, and the trainings that were running have ended.
        """
        waiting, running = list(jobs), 0
        titles = {job.key: title for job, title in waiting}
        while waiting or running:
            self.look_around(running)
            if self.brake.requested and not running:
                raise Stopped
            while waiting and self.free:
                self.submit(*waiting.pop(0))
                running += 1
            for event in self.wait():
                if isinstance(event, EpochDone):
                    self.answer(event.job, go_on=True)
                else:
                    running -= 1
                    yield event.job, titles[event.job.key], event.outcome

    def _note_retry(self, job: Job, reason: str) -> None:
        title = self._titles[job.key]
        self.display.began(replace(job, attempt=job.attempt + 1), title)
        self.display.say(f"{title} failed, it is tried again: {reason}", style="yellow")
