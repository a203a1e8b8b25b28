"""A worker process: takes jobs, trains, reports; it never touches the study or the run folder."""

import os
import signal
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from records.run import EpochRecord
from search.job import DataRequest, Job, Outcome


def serve(connection: Any, device: str, threads: int) -> None:
    """Work until the driver closes `connection`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    _leave_with_parent()
    import torch

    torch.set_num_threads(threads)
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        try:
            connection.send(run(job, device, lambda epoch: _ask(connection, epoch)))
        except OSError:
            return


def run(job: Job, device: str, report: Any) -> Outcome:
    """Train `job` and return how it ended; any error of the training becomes a failed outcome.

    Args:
        job: What to train.
        device: "cpu", "cuda" or "mps".
        report: Called with each EpochRecord; False ends the run there.
    """
    import torch

    from models.net import build
    from models.spec import NetSpec
    from training.loop import fit
    from training.recipe import Recipe

    started = time.perf_counter()
    epochs: list[EpochRecord] = []

    def on_epoch(epoch: EpochRecord) -> bool:
        epochs.append(epoch)
        return bool(report(epoch))

    state, reason = "complete", None
    try:
        train, validation = _samples(job.data)
        torch.manual_seed(job.seed)
        model = build(NetSpec.from_json(job.spec))
        history = fit(
            model,
            train,
            validation,
            Recipe.from_json(job.recipe),
            seed=job.seed,
            device=device,
            on_epoch=on_epoch,
        )
        if history.stopped:
            state = "pruned"
    except Exception as error:
        state, reason = "failed", f"{type(error).__name__}: {error}".splitlines()[0]
    return Outcome(
        number=job.number,
        attempt=job.attempt,
        state=state,
        seconds=time.perf_counter() - started,
        epochs=tuple(epochs),
        reason=reason,
    )


def _ask(connection: Any, epoch: EpochRecord) -> bool:
    connection.send(epoch)
    return bool(connection.recv())


@lru_cache(maxsize=2)
def _samples(request: DataRequest) -> Any:
    """Return the training and the validation samples of `request`; kept, since trials share them."""
    from training.datasets import holdout, load, subset
    from training.samples import Samples

    dataset = load(request.data, cache=Path(request.cache), resize=request.resize)
    train, validation = holdout(dataset.train.labels)
    if request.images is not None:
        train = subset(train, dataset.train.labels, request.images, request.subset_seed)
    return Samples.of(dataset.train, train, dataset), Samples.of(dataset.train, validation, dataset)


def _leave_with_parent() -> None:
    """End this process soon after the driver's death, a SIGKILL included, in the middle of an epoch too."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
