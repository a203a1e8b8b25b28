"""A plan's network trained by the engine, with progress on the screen and a checkpoint in the folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from records import layout
from records.files import write_json
from records.run import EpochRecord
from records.stopping import Stop
from training.command import tensorboard
from training.command.display import Display
from training.command.losses import LossLog
from training.command.options import Options
from training.command.plan import Plan
from training.fit import checkpoint
from training.fit.loop import History, fit


def fitted(plan: Plan, folder: Path, stop: Stop, console: Console) -> History:
    """Train the network of a plan to its end.

    Raises:
        KeyboardInterrupt: The user stopped it; the checkpoint is kept.
        TrainingError: See `fit`.
    """
    options = plan.options
    # Beside a checkpoint it stays until the end: whether that is of this run is not known yet.
    if not checkpoint.exists(folder / layout.CHECKPOINT):
        write_json(folder / layout.RUN, plan.record.to_json())
    with (
        stop.patiently(),
        _log(folder, options) as log,
        Display(console, plan.recipe.epochs) as display,
    ):

        def on_epoch(epoch: EpochRecord) -> None:
            display.epoch(epoch)
            if log is not None:
                log.epoch(epoch)

        history = fit(
            plan.model,
            plan.train,
            plan.validation,
            plan.recipe,
            seed=plan.record.seed,
            device=plan.record.environment.device,
            teacher=plan.teacher,
            on_epoch=on_epoch,
            checkpoint=folder / layout.CHECKPOINT,
            resume=options.resume,
            stop=stop,
            workers=options.workers,
            deterministic=options.deterministic,
            progress=display.step,
            shares=plan.shares,
            on_losses=LossLog(console, options.log_every) if options.log_every else None,
            on_notice=lambda text: console.print(text, style="yellow", markup=False),
        )
    if history.stopped and len(history.epochs) < plan.recipe.epochs:
        raise KeyboardInterrupt
    return history


@contextmanager
def _log(folder: Path, options: Options) -> Iterator[tensorboard.EventLog | None]:
    if not options.tensorboard:
        yield None
        return
    log = tensorboard.EventLog(folder / tensorboard.FOLDER)
    try:
        yield log
    finally:
        log.close()
