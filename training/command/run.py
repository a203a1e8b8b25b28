"""The training itself: the folder, the loop, the pictures, and leaving cleanly when it is stopped."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from models.source import standalone_source
from models.spec import NetSpec
from records import layout
from records.files import sweep, write_text
from records.flags import Parsed
from records.lock import locked
from records.next_steps import after_training, shown
from records.run import RunRecord
from records.settings import values_of
from records.stopping import Stop, stopping
from training.command import tensorboard
from training.command.announce import announce
from training.command.display import conclude, resume_command, show_stopped
from training.command.drawings import draw
from training.command.fitting import fitted
from training.command.options import Options, word
from training.command.plan import Plan, Wanted, make_plan
from training.command.repeat import as_before, as_words, read_run
from training.command.transfer_run import fill_tail, fill_whole
from training.errors import TrainingError
from training.fit import checkpoint
from training.fit.evaluate import evaluate
from training.fit.runfolder import judged, write_run


def train(options: Options, parsed: Parsed, console: Console) -> None:
    """Train a network by the options, or continue a run, and fill its folder.

    Args:
        options: Of train.py.
        parsed: The command line that they come from.
        console: Where progress and result are shown.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM; what is kept was shown.
        UserError: It cannot be done; nothing is left of a run that had no checkpoint yet.
    """
    folder, continues = layout.locate(options.out, options.name, options.resume, layout.RUN)
    if options.resume and not continues:
        console.print(f"nothing to resume in {folder}; starting afresh", style="yellow", markup=False)
    before = RunRecord.read(folder / layout.RUN) if continues else None
    if before is not None and before.finished:
        console.print(f"{folder}: this run is finished, nothing is left to resume", markup=False)
        return
    wanted = _wanted(options, parsed.given, before)
    if wanted.options.tensorboard:
        tensorboard.require()
    plan = make_plan(wanted, console)
    words: Sequence[str] = parsed.words
    if plan.repeats is not None:
        words = as_words(plan.options, parsed.given, words)
    command = shlex.join(["python", "train.py", *words])
    plan = replace(
        plan,
        record=replace(
            plan.record,
            name=folder.name,
            command=before.command if before else command,
            started=before.started if before else plan.record.started,
        ),
    )
    announce(plan, folder, console)
    created = layout.make(folder)
    taken = TrainingError(
        f"{folder}: another process is training this run; wait for it, or choose another --name"
    )
    try:
        with locked(folder / layout.LOCK, taken), stopping(patient=False) as stop:
            sweep(folder)
            fill = _fill if plan.transfer is None else fill_tail if plan.cached else fill_whole
            record = fill(plan, folder, stop, console)
    except BaseException as error:
        if created and not checkpoint.exists(folder / layout.CHECKPOINT):
            shutil.rmtree(folder, ignore_errors=True)  # nothing to continue from: leave nothing behind
        if isinstance(error, KeyboardInterrupt):
            show_stopped(folder, console)
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):  # that is of the output
            raise TrainingError(_unwritten(folder, error)) from error
        raise
    conclude(record, folder, console)
    if plan.repeats is not None:
        console.print(f"the run that was repeated: {_accuracies(plan.repeats)}", markup=False)
    target = record.target if record.spec is None and record.transfer is None else None
    console.print(shown(after_training(folder, target)), markup=False, highlight=False, soft_wrap=True)


def _unwritten(folder: Path, error: OSError) -> str:
    """Return what became of a run whose folder could not be written."""
    kept = "nothing was kept"
    if checkpoint.exists(folder / layout.CHECKPOINT):
        kept = f"its last checkpoint is kept: make room, then {resume_command(folder)}"
    return f"{folder}: cannot be written ({error.strerror or error}); {kept}"


def _accuracies(record: RunRecord) -> str:
    known = (("validation", record.val_accuracy), ("test", record.test_accuracy))
    texts = [f"{split} accuracy {share:.2%}" for split, share in known if share is not None]
    return ", ".join(texts) or "was not finished"


_PLACE = frozenset({"out", "name", "resume", "debug"})
_MAY_DIFFER = frozenset({"cache", "workers", "device"})
"""What cannot change the result of a run, so that it may be given anew."""


def _wanted(options: Options, given: frozenset[str], before: RunRecord | None) -> Wanted:
    """Return what is to be trained: a new run, a repetition, or the rest of `before` with its own settings.

    Raises:
        TrainingError: A flag contradicts the run that is continued, or a record does not know its settings.
    """
    if before is None:
        if options.repeat is None:
            return Wanted(options, given)
        repeats = read_run(Path(options.repeat))
        return Wanted(as_before(options, given, repeats), given, repeats)
    if before.settings is None:
        raise TrainingError(
            f"{before.name!r} does not know its settings: field 'command' of its run.json is no command "
            "line; choose another --name"
        )
    kept = values_of(before.settings)
    for name in given - _PLACE - _MAY_DIFFER:
        if (value := getattr(options, name)) != kept.get(name, getattr(Options(), name)):
            was = "without it" if kept.get(name) in (None, False, ()) else f"with {_shown(kept[name])}"
            typed = word(name) if isinstance(value, bool) else f"{word(name)} {_shown(value)}"
            raise TrainingError(
                f"{typed}: the run {before.name!r} was started {was}; "
                "leave the flag out, or choose another --name"
            )
    anew = {name: getattr(options, name) for name in given & _MAY_DIFFER}
    # The record of a repetition holds all that it took from the other run, which may be gone by now.
    repeated = before if before.settings.repeat else None
    # Its images may be others than those of the run that it repeats, if the user named them then; the
    # checkpoint knows which they were.
    return Wanted(replace(options, **kept | anew), given | {"data"}, repeated, before)


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _fill(plan: Plan, folder: Path, stop: Stop, console: Console) -> RunRecord:
    record, options = plan.record, plan.options
    place = record.environment.device
    history = fitted(plan, folder, stop, console)
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
    draw(plan, record, result, folder)
    if record.spec is not None:
        write_text(folder / layout.SOURCE, standalone_source(NetSpec.from_json(record.spec)))
    write_run(folder, record, plan.model, result, "test" if options.full else "validation")
    return record
