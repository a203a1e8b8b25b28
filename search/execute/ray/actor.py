"""One slot on a node of a cluster: an actor that looks after a worker process.

It imports no Ray: the bridge makes an actor of the class.
"""

import importlib.util
import platform
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from search.execute.job import Job, Outcome
from search.execute.local import LocalProcesses
from search.execute.protocol import EpochDone, JobDone
from search.execute.worker import BEAT, Message, Share, Work, watch_parent
from training.fit.process import wait_politely

NEEDED = ("torch", "numpy", "rich", "albumentations", "cv2", "PIL", "safetensors", "filelock")
"""What a training imports, beside the repository, which comes with the job."""


@dataclass(frozen=True)
class Greeting:
    """Facts of a node, sent before it gets a job."""

    host: str
    torch: str | None
    """Version; figures of two versions may differ in their last digits."""
    problem: str | None = None
    """Why nothing can be trained there; one line."""


class WorkerActor:
    """A local executor of one job, from outside the messages of its worker.

    Args:
        share: What the worker may use of the node.
        work: What it does with each job.
        silence: Seconds without a sign of life after which the worker is killed and its job failed.
    """

    def __init__(self, share: Share, work: Work, silence: float) -> None:
        wait_politely()  # the worker inherits how to wait
        # Ray's own processes outlive the raylet that started them, where it is killed.
        watch_parent()
        self._executor = LocalProcesses(1, share.device, work, silence, share)
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._job: Job | None = None
        # Of this thread the worker is a child: Linux ends the worker with the thread that has started it, and
        # Ray does not promise how long its own threads live.
        threading.Thread(target=self._drive, name="actor", daemon=True).start()

    def greet(self, paths: Sequence[str]) -> Greeting:
        """Return what this node is, and whether it has what a training needs.

        Args:
            paths: Files and folders that it must see.
        """
        host = platform.node()
        try:
            torch = version("torch")
        except PackageNotFoundError:
            torch = None
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        unseen = [path for path in paths if not Path(path).exists()]
        problem = None
        if missing:
            problem = (
                f"node {host} lacks {', '.join(missing)}; install there what "
                "this machine has, see docs/clusters.md"
            )
        elif unseen:
            problem = (
                f"node {host} does not see {unseen[0]}; --data, --cache and --out must lie where all nodes "
                "see them, see docs/clusters.md"
            )
        return Greeting(host, torch, problem)

    def send(self, message: Job | bool) -> None:
        """Hand the worker a job, or the answer to its epoch."""
        if isinstance(message, Job):
            self._jobs.put(message)
        elif self._job is not None:
            self._executor.answer(self._job, go_on=message)

    def hear(self) -> list[Message]:
        """Return what the worker has said since the last call, after at most `BEAT` seconds if nothing."""
        messages: list[Message] = []
        with suppress(queue.Empty):
            messages.append(self._messages.get(timeout=BEAT))
            while True:
                messages.append(self._messages.get_nowait())
        return messages

    def _drive(self) -> None:
        while True:
            job = self._job = self._jobs.get()
            try:
                outcome = self._done(job)
            except Exception as error:  # no process can be started, say: the driver must hear of it
                outcome = _failed(job, f"{type(error).__name__}: {error}")
            self._messages.put(outcome)

    def _done(self, job: Job) -> Outcome:
        if (unseen := _unseen(job)) is not None:
            return _failed(
                job, f"node {platform.node()} does not see {unseen}; --out must lie where all nodes see it"
            )
        self._executor.submit(job)
        while True:
            for event in self._executor.wait(BEAT):
                if isinstance(event, JobDone):
                    return event.outcome
                self._messages.put(event.epoch if isinstance(event, EpochDone) else event.text)


def _failed(job: Job, reason: str) -> Outcome:
    return Outcome(job.number, job.attempt, "failed", 0.0, reason=reason)


def _unseen(job: Job) -> Path | None:
    """Return the run folder that `job` writes to, where this machine does not see it."""
    written = job.keep.folder if job.keep is not None else job.checkpoint
    if written is None or (folder := Path(written).parent).is_dir():
        return None
    # A checkpoint's own folder is made with the first of them.
    return None if job.keep is None and folder.parent.is_dir() else folder
