"""A worker process: takes jobs, trains, reports.

It never touches the study, and of the run's folder only what a job with `keep` names.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from records.errors import one_line
from records.run import EpochRecord
from search.execute.job import DataRequest, Job, Outcome
from training.fit.process import keep_freed_memory

if TYPE_CHECKING:
    from training.data.registry import Dataset
    from training.data.samples import Samples

Report = Callable[[EpochRecord], bool]
"""Is called with each epoch; False ends the run there."""
Work = Callable[[Job, str, Report], Outcome]
"""Job, device, report."""
Message = EpochRecord | Outcome | str | None
"""What a worker sends: an epoch, the end of a job, a notice for the user, or a sign of life."""

_PR_SET_PDEATHSIG = 1
BEAT = 1.0
"""Seconds between a worker's signs of life."""


@dataclass(frozen=True)
class Share:
    """What one of several workers may use of the machine."""

    device: str
    """"cpu", "cuda" or "mps"."""
    jobs: int
    """How many share it."""
    cores: int | None = None
    """Cores that they share; None: all that this process may use."""
    memory: float = 1.0
    """Part of the GPU's memory that they share, above 0 and at most 1."""

    @property
    def threads(self) -> int:
        """Threads of torch's kernels; the figures of a training depend on it in their last digits."""
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, (self.cores or usable) // self.jobs)

    def take(self) -> None:
        """Keep torch within it."""
        import torch

        torch.set_num_threads(self.threads)
        if self.device == "cuda":
            torch.cuda.set_per_process_memory_fraction(self.memory / self.jobs)


def serve(connection: Any, share: Share, work: Work) -> None:
    """Do jobs until the driver closes `connection`."""
    begin()
    line = _Line(connection)
    watch_parent(line.beat)
    if work is run:
        keep_freed_memory()
        share.take()
        work = partial(run, notify=line.say)
    while True:
        try:
            job = line.next_job()
            line.say(work(job, share.device, line.ask))
        except (EOFError, OSError):
            return


def run(job: Job, device: str, report: Report, notify: Callable[[str], None] = lambda text: None) -> Outcome:
    """Train `job` and return how it ended; any error of the training becomes a failed outcome.

    Args:
        job: What to train.
        device: "cpu", "cuda" or "mps".
        report: Called with each EpochRecord; False ends the run there.
        notify: Called with what the user should know meanwhile.
    """
    import numpy as np
    import torch

    from models.net import build
    from models.spec import NetSpec
    from search.execute.finish import finish
    from training.fit.evaluate import evaluate
    from training.fit.loop import fit
    from training.fit.recipe import Recipe

    started, began = time.perf_counter(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    epochs: list[EpochRecord] = []

    def on_epoch(epoch: EpochRecord) -> bool:
        epochs.append(epoch)
        return report(epoch)

    state, reason, losses = "complete", None, None
    try:
        if job.threads is not None:
            torch.set_num_threads(job.threads)
        data = _open(job.data)
        torch.manual_seed(job.seed)
        model = build(NetSpec.from_json(job.spec))
        checkpoint = _checkpoint(job)
        history = fit(
            model,
            data.train,
            data.validation,
            Recipe.from_json(job.recipe),
            seed=job.seed,
            device=device,
            on_epoch=on_epoch,
            checkpoint=checkpoint,
            resume=checkpoint is not None,
            on_notice=notify,
        )
        epochs = list(history.epochs)  # those before a break, too
        if history.stopped:
            state = "pruned"
        elif job.keep is not None:
            finish(job, job.keep, began, model, history, data.dataset, device)
        if data.validation is not None:
            # A run whose checkpoint has all its epochs trains and judges nothing any more.
            judged = history.judged or evaluate(model, data.validation, device=device)
            losses = judged.losses.astype(np.float16).tobytes()
    except Exception as error:
        state, reason = "failed", one_line(f"{type(error).__name__}: {error}".splitlines()[0])
    return Outcome(
        number=job.number,
        attempt=job.attempt,
        state=state,
        seconds=time.perf_counter() - started,
        epochs=tuple(epochs),
        reason=reason,
        losses=losses,
    )


def _checkpoint(job: Job) -> Path | None:
    """Return where the training keeps its checkpoint.

    A second attempt begins anew: the first one may have been disturbed after its checkpoint and before its
    report, and the driver counts epochs by their reports.
    """
    from records.layout import CHECKPOINT
    from training.fit.checkpoint import previous

    if job.keep is not None:
        return Path(job.keep.folder) / CHECKPOINT
    if job.checkpoint is None:
        return None
    path = Path(job.checkpoint)
    if job.attempt > 1:
        path.unlink(missing_ok=True)
        previous(path).unlink(missing_ok=True)
    return path


@dataclass(frozen=True)
class _Opened:
    """The images of a request."""

    dataset: "Dataset"
    train: "Samples"
    validation: "Samples | None"


@lru_cache(maxsize=2)
def _open(request: DataRequest) -> _Opened:
    """Return the samples of `request`; they are kept, since trials share them."""
    from training.data.registry import holdout, load, subset
    from training.data.samples import Samples

    dataset = load(request.data, cache=Path(request.cache), resize=request.resize)
    if request.whole:
        return _Opened(dataset, Samples.of(dataset.train, None, dataset), None)
    train, validation = holdout(dataset.train.labels)
    if request.images is not None:
        train = subset(train, dataset.train.labels, request.images, request.subset_seed)
    return _Opened(
        dataset,
        Samples.of(dataset.train, train, dataset),
        Samples.of(dataset.train, validation, dataset),
    )


class _Line:
    """The worker's end of the pipe, for two threads."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._lock, self._idle = connection, threading.Lock(), False

    def next_job(self) -> Job:
        self._idle = True  # nobody listens now, signs of life would pile up
        job: Job = self._connection.recv()
        self._idle = False
        return job

    def say(self, message: Message) -> None:
        with self._lock:
            self._connection.send(message)

    def ask(self, epoch: EpochRecord) -> bool:
        self.say(epoch)
        return bool(self._connection.recv())

    def beat(self) -> None:
        if not self._idle:
            with suppress(OSError):
                self.say(None)


def begin() -> None:
    """Make a process that the driver has started end with it, and leave Ctrl-C to it.

    Have Linux kill this process when the driver dies: one that is stopped (SIGSTOP) cannot look itself.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides


def watch_parent(beat: Callable[[], None] = lambda: None) -> None:
    """Call `beat` every `BEAT` seconds; end this process soon after its parent, in an epoch too."""
    # Not getppid(): the driver may have died while this process started.
    driver = multiprocessing.parent_process()
    parent = driver.pid if driver else os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            beat()
            time.sleep(BEAT)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
