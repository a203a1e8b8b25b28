"""The training itself: the folder, the loop, the pictures, and leaving cleanly when it is stopped."""

from __future__ import annotations

import argparse
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from models.source import standalone_source
from models.spec import NetSpec
from records.files import write_json, write_text
from records.run import EpochRecord, RunRecord
from reports.figures import training as figures
from training.command import tensorboard
from training.command.arguments import flag, parse
from training.command.display import Display, conclude, resume_command, say_stopped
from training.command.images import words_of
from training.command.plan import Plan, announce, make_plan
from training.command.repeat import again_in_words, read_run
from training.command.stopping import Stopping, stopping
from training.errors import TrainingError
from training.fit import checkpoint
from training.fit.evaluate import Evaluation, evaluate
from training.fit.loop import fit
from training.fit.runfolder import CHECKPOINT, RUN, judged, locate, make, write_run


def train(options: argparse.Namespace, words: Sequence[str], console: Console) -> None:
    """Train a network by the flags, or go on with a run, and fill its folder.

    Args:
        options: The parsed flags.
        words: As they were typed; run.json keeps them.
        console: Where to talk.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM; what is kept was said.
        TrainingError: It cannot be done; nothing is left of a run that had no checkpoint yet.
    """
    folder = locate(options.out, options.name, options.resume, console)
    before = RunRecord.read(folder / RUN) if (folder / RUN).is_file() else None
    if before is not None and before.finished:
        console.print(f"{folder}: this run is finished, nothing is left to resume", markup=False)
        return
    if before is not None:
        options, words = _as_started(options, before)
    repeats = read_run(options.repeat) if options.repeat else None
    if options.tensorboard:
        tensorboard.require()
    plan = make_plan(options, console, repeats)
    if before is not None and before.source != plan.record.source:
        raise TrainingError(
            f"{plan.record.target}: is not what {folder.name!r} was started with (run.json has its text); "
            "bring that back, or choose another --name"
        )
    if repeats is not None:
        words = again_in_words(words, options, plan.options)
    plan = replace(
        plan,
        record=replace(
            plan.record,
            name=folder.name,
            command=shlex.join(["python", "train.py", *words]),
            started=before.started if before else plan.record.started,
        ),
    )
    announce(plan, folder, console)
    created = make(folder)
    try:
        with stopping() as stop:
            record = _fill(plan, folder, stop, console)
    except BaseException as error:
        if created and not checkpoint.exists(folder / CHECKPOINT):
            shutil.rmtree(folder, ignore_errors=True)  # nothing to go on from: leave nothing behind
        if isinstance(error, KeyboardInterrupt):
            say_stopped(folder, console)
        if isinstance(error, OSError):
            raise TrainingError(_unwritten(folder, error)) from error
        raise
    conclude(record, folder, console)
    if repeats is not None:
        console.print(f"the run that was repeated: {_accuracies(repeats)}", markup=False)


def _unwritten(folder: Path, error: OSError) -> str:
    """Say what became of a run whose folder could not be written."""
    kept = "nothing was kept"
    if checkpoint.exists(folder / CHECKPOINT):
        kept = f"its last checkpoint is kept: make room, then {resume_command(folder)}"
    return f"{folder}: cannot be written ({error.strerror or error}); {kept}"


def _accuracies(record: RunRecord) -> str:
    known = (("validation", record.val_accuracy), ("test", record.test_accuracy))
    texts = [f"{split} accuracy {share:.2%}" for split, share in known if share is not None]
    return ", ".join(texts) or "was not finished"


def _as_started(options: argparse.Namespace, before: RunRecord) -> tuple[argparse.Namespace, Sequence[str]]:
    """Return the flags that the run was started with; only what cannot change its result may differ now."""
    words = words_of(before)
    started = parse(words)
    for key, value in vars(options).items():
        if key in ("out", "name", "resume", "debug") or (
            key in ("cache", "workers", "device") and value is not None
        ):
            setattr(started, key, value)
        elif value is not None and value != getattr(started, key):
            raise TrainingError(
                f"{flag(key)} {value}: the run {before.name!r} was started with {getattr(started, key)}; "
                "leave the flag out, or choose another --name"
            )
    return started, words


def _fill(plan: Plan, folder: Path, stop: Stopping, console: Console) -> RunRecord:
    record, options = plan.record, plan.options
    place = record.environment.device
    # Beside a checkpoint it stays until the end: whether that is of this run is not known yet.
    if not checkpoint.exists(folder / CHECKPOINT):
        write_json(folder / RUN, record.to_json())
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
            None if options.full else plan.judged_on,
            plan.recipe,
            seed=record.seed,
            device=place,
            teacher=plan.teacher,
            on_epoch=on_epoch,
            checkpoint=folder / CHECKPOINT,
            resume=options.resume,
            stop=stop,
            workers=options.workers,
            deterministic=bool(options.deterministic),
            progress=display.step,
            on_notice=lambda text: console.print(text, style="yellow", markup=False),
        )
    if history.stopped and len(history.epochs) < plan.recipe.epochs:
        raise KeyboardInterrupt
    began = time.perf_counter()
    result = evaluate(plan.model, plan.judged_on, device=place)
    flipped = evaluate(plan.model, plan.judged_on, device=place, flip=True) if options.full else None
    trained = sum(epoch.seconds for epoch in history.epochs)
    record = replace(
        record,
        recipe=history.recipe.to_json(),
        epochs=history.epochs,
        seconds=round(trained + time.perf_counter() - began, 2),
        finished=True,
    )
    if options.full:
        record = judged(record, test=result, test_flip=flipped)
    else:
        record = judged(record, validation=result)
    _draw(plan, record, result, folder)
    if record.spec is not None:
        write_text(folder / "model.py", standalone_source(NetSpec.from_json(record.spec)))
    write_run(folder, record, plan.model, result, "test" if options.full else "validation")
    return record


@contextmanager
def _log(folder: Path, options: argparse.Namespace) -> Iterator[tensorboard.EventLog | None]:
    if not options.tensorboard:
        yield None
        return
    log = tensorboard.EventLog(folder / tensorboard.FOLDER)
    try:
        yield log
    finally:
        log.close()


def _draw(plan: Plan, record: RunRecord, result: Evaluation, folder: Path) -> None:
    classes = record.dataset.classes
    figures.save_curves(folder / "curves.png", record.epochs)
    figures.save_confusion(folder / "confusion.png", result.confusion, classes)
    figures.save_mistakes(
        folder / "mistakes.png",
        plan.judged_on.images,
        result.labels,
        result.predictions,
        result.confidence,
        classes,
    )
