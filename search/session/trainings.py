"""What every stage does with trainings: submit them, wait for what they report, stop where the user asks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from records.run import EpochRecord
from records.stopping import Stop, Stopped
from search.execute.attempts import Attempts
from search.execute.job import DataRequest, Job, Outcome
from search.execute.protocol import EpochDone, Executor, JobDone, Notice
from search.settings import Settings
from search.show.display import Display
from training.fit.recipe import Recipe

HEARTBEAT = 1.0
"""Seconds after which the driver looks around though nothing happened."""


@dataclass
class Trainings:
    """The trainings of one stage.

    Attributes:
        settings: Of the search.
        executor: Where the trainings run.
        display: Shown to the user.
        stop: Asked for by Ctrl-C and SIGTERM.
        pulse: Called about every second; raises when the search may not go on.
    """

    settings: Settings
    executor: Executor
    display: Display
    stop: Stop = field(default_factory=Stop)
    pulse: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        """Give each job its second chances."""
        self._attempts = Attempts(self.executor, self.settings.retries, self._note_retry)
        self._titles: dict[tuple[int, int], str] = {}
        self._stopping = False

    @property
    def free(self) -> int:
        """How many more trainings may begin now: none once the user has asked for the end."""
        return 0 if self.stop.asked else self._attempts.free

    def job(self, number: int, spec: dict[str, Any], recipe: Recipe, images: int | None, seed: int) -> Job:
        """Return the first attempt at training `spec` on so many images."""
        settings = self.settings
        data = DataRequest(settings.data, settings.cache, settings.resize, images, settings.seed)
        return Job(
            number=number,
            attempt=1,
            spec=spec,
            recipe=recipe.to_json(),
            seed=seed,
            data=data,
            threads=settings.threads,
        )

    def submit(self, job: Job, title: str) -> None:
        """Begin a training, which the user knows as `title`; there must be a free slot."""
        self._titles[job.key] = title
        self.display.began(job, title)
        self._attempts.submit(job)

    def wait(self) -> Sequence[EpochDone | JobDone]:
        """Return what happened, an empty sequence after `HEARTBEAT` seconds if nothing did; show it."""
        events: list[EpochDone | JobDone] = []
        for event in self._attempts.wait(HEARTBEAT):
            if isinstance(event, Notice):
                self.display.say(event.text, style="yellow")
                continue
            if isinstance(event, EpochDone):
                self.display.add_epoch(event.job, event.epoch)
            else:
                self.display.ended(event.job)
                del self._titles[event.job.key]
            events.append(event)
        return events

    def answer(self, job: Job, *, go_on: bool) -> None:
        """Let a training that reported an epoch go on, or end it there."""
        self._attempts.answer(job, go_on=go_on)

    def look_around(self, running: int) -> None:
        """Notice what does not come from a worker, while so many trainings run."""
        self.stop.check()
        self.pulse()
        if self.stop.asked and not self._stopping:
            self._stopping = True
            if running:
                what = "the running training ends" if running == 1 else f"the {running} running trainings end"
                self.display.say(f"stopping: {what} first; Ctrl-C again stops now", style="yellow")

    def whole(
        self,
        jobs: Iterable[tuple[Job, str]],
        on_epoch: Callable[[EpochRecord], None] = lambda epoch: None,
        *,
        patient: bool = True,
        until: int | None = None,
    ) -> Iterator[tuple[Job, str, Outcome]]:
        """Train jobs with their titles to the end of their recipes; yield both with its outcome as it ends.

        Args:
            jobs: What is trained, and how the user knows it.
            on_epoch: Called with each epoch of each job.
            patient: Whether the running trainings end as planned when the user asks for the end; otherwise at
                their next epoch, as pruned.
            until: Epoch after which a training ends, as pruned, before its recipe does.

        Raises:
            Stopped: The user asked for the end, and the trainings that were running have ended.
        """
        waiting, running = list(jobs), 0
        titles = {job.key: title for job, title in waiting}
        while waiting or running:
            self.look_around(running)
            if self.stop.asked and not running:
                raise Stopped
            while waiting and self.free:
                self.submit(*waiting.pop(0))
                running += 1
            for event in self.wait():
                if isinstance(event, EpochDone):
                    on_epoch(event.epoch)
                    last = event.epoch.epoch >= int(event.job.recipe["epochs"])
                    goes_on = patient or last or not self.stop.asked
                    self.answer(event.job, go_on=goes_on and (last or event.epoch.epoch != until))
                else:
                    running -= 1
                    yield event.job, titles[event.job.key], event.outcome

    def _note_retry(self, job: Job, reason: str) -> None:
        title = self._titles[job.key]
        self.display.began(replace(job, attempt=job.attempt + 1), title)
        self.display.say(f"{title} failed, it is tried again: {reason}", style="yellow")
