"""The training of a pretrained run, from cached maps or through the whole network, and its files."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from records import layout
from records.files import write_json, write_text, write_with
from records.run import EpochRecord, RunRecord
from records.stopping import Stop
from records.text import plural
from reports.figures import training as figures
from training.command.display import Display
from training.command.drawings import draw
from training.command.fitting import fitted
from training.command.losses import Losses, LossLog, log_lines
from training.command.plan import Plan
from training.data import registry as datasets
from training.data.samples import Samples
from training.fit.evaluate import Evaluation, evaluate
from training.fit.runfolder import judged, write_run
from training.transfer import calibration
from training.transfer.architecture import soften
from training.transfer.features import frozen_maps
from training.transfer.stages import Snapshot
from training.transfer.tail import Maps, answers, fit_tail, held_out_answers

LOSSES, LOG, LOSS_CURVE, RELIABILITY = "losses.npy", "log.txt", "loss.png", "reliability.png"
_FOLDS, _FOLDS_OF_STAGES = 5, 2
"""Trainings that find the temperature: of a head a second each, of backbone stages long ones."""
_ENOUGH = 1000
"""Validation photographs from which a temperature may be fitted: of 200 it is worse than none."""


def fill_tail(plan: Plan, folder: Path, stop: Stop, console: Console) -> RunRecord:
    """Train the end of a pretrained network on the maps of its frozen stages, and fill the run's folder.

    Nothing is chosen on the test photographs: they are answered once, by the final weights.

    Raises:
        KeyboardInterrupt: The user stopped it; a pretrained run begins anew, its features are in the cache.
        TrainingError: The loss is not finite, or the cache cannot be written.
    """
    transfer, dataset, options = plan.transfer, plan.dataset, plan.options
    assert transfer is not None
    assert dataset is not None
    write_json(folder / layout.RUN, plan.record.to_json())
    place = torch.device(plan.record.environment.device)
    plan.model.to(place)
    began = time.perf_counter()
    body, tail = plan.stages[: transfer.cut], plan.stages[transfer.cut :]
    everything, test = frozen_maps(
        body,
        dataset,
        transfer.architecture,
        transfer.pretrained,
        mirrored=True,
        cache=Path(options.cache),
        device=place,
        console=console,
    )
    learned, held_out = _split(plan, everything)
    start = Snapshot(tail)
    show, losses = LossLog(console, options.log_every), list[float]()

    def on_step(epoch: int, step: int, loss: float) -> None:
        losses.append(loss)
        if options.log_every and step % options.log_every == 0:
            show(epoch, losses[-step:])

    with stop.patiently(), Display(console, plan.recipe.epochs) as display:

        def on_epoch(record: EpochRecord) -> bool:
            display.epoch(record)
            return not stop.asked

        done = fit_tail(
            tail,
            learned,
            plan.recipe,
            seed=plan.record.seed,
            trained=transfer.trained,
            unfreezing=transfer.unfreezing,
            judge=None if held_out is None else lambda: _judged(answers(tail, held_out), held_out.labels),
            on_step=on_step,
            on_epoch=on_epoch,
        )
    if done.stopped and len(done.epochs) < plan.recipe.epochs:
        raise KeyboardInterrupt
    logits = answers(tail, test)
    temperature = 1.0
    if np.bincount(learned.labels, minlength=len(dataset.classes)).min() >= 5 and len(learned) >= 50:
        folds = _FOLDS if len(tail) == 1 else _FOLDS_OF_STAGES
        console.print(
            f"calibrating: {plural(folds, 'training')}, each without a part of the photographs", markup=False
        )
        crossed = held_out_answers(
            tail,
            learned,
            plan.recipe,
            seed=plan.record.seed,
            start=start,
            folds=folds,
            trained=transfer.trained,
            unfreezing=transfer.unfreezing,
        )
        temperature = calibration.fit_temperature(crossed, learned.labels)
    record = replace(plan.record, epochs=tuple(done.epochs), seconds=round(time.perf_counter() - began, 2))
    return _finish(plan, record, logits, test.labels, temperature, losses, folder)


def fill_whole(plan: Plan, folder: Path, stop: Stop, console: Console) -> RunRecord:
    """Train a pretrained network through all of its stages, and fill the run's folder.

    Raises:
        KeyboardInterrupt: The user stopped it; the checkpoint is kept.
        TrainingError: See `training.fit.loop.fit`.
    """
    history = fitted(plan, folder, stop, console)
    began = time.perf_counter()
    logits = _logits(plan, plan.judged_on)
    temperature = 1.0
    if plan.validation is not None and len(plan.validation) >= _ENOUGH:
        # To train such a network several times more, as the tail's is found, would take hours.
        temperature = calibration.fit_temperature(_logits(plan, plan.validation), plan.validation.labels)
    seconds = sum(epoch.seconds for epoch in history.epochs) + time.perf_counter() - began
    record = replace(
        plan.record, recipe=history.recipe.to_json(), epochs=history.epochs, seconds=round(seconds, 2)
    )
    return _finish(plan, record, logits, plan.judged_on.labels, temperature, history.losses, folder)


def _logits(plan: Plan, samples: Samples) -> npt.NDArray[np.float64]:
    """Return logarithms of the network's probabilities, which are logits as good as its own."""
    result = evaluate(plan.model, samples, device=plan.record.environment.device)
    smallest = float(np.finfo(np.float32).tiny)
    return np.asarray(np.log(result.probabilities.astype(np.float64).clip(min=smallest)))


def _finish(
    plan: Plan,
    record: RunRecord,
    logits: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    temperature: float,
    losses: Losses,
    folder: Path,
) -> RunRecord:
    """Fold the temperature into the weights, judge, draw and write.

    Args:
        plan: With the trained network.
        record: With epochs and seconds.
        logits: (N, C) of the test photographs, without the temperature.
        labels: (N,) of them.
        temperature: Divides the logits.
        losses: Of every step.
        folder: Of the run.
    """
    transfer = plan.transfer
    assert transfer is not None
    soften(plan.model, transfer.architecture, temperature)
    result = _evaluation(logits, labels, temperature)
    record = judged(replace(record, finished=True), test=result)
    record = replace(record, val_accuracy=record.epochs[-1].val_accuracy)
    record = _calibrated(record, logits, labels, temperature, result)
    draw(plan, record, result, folder)
    figures.save_loss(folder / LOSS_CURVE, list(losses), len(record.epochs))
    reliability = calibration.reliability(result.probabilities.astype(np.float64), result.labels)
    figures.save_reliability(
        folder / RELIABILITY, reliability.confidence, reliability.accuracy, reliability.counts
    )
    if plan.options.log_every:
        lines = log_lines(losses, len(record.epochs), plan.options.log_every)
        write_text(folder / LOG, "".join(f"{line}\n" for line in lines))
    write_with(folder / LOSSES, lambda path: np.save(path, np.array(losses, dtype=np.float32)))
    plan.model.to("cpu")
    write_run(folder, record, plan.model, result, "test")
    return record


def _split(plan: Plan, everything: Maps) -> tuple[Maps, Maps | None]:
    labels, options = everything.labels, plan.options
    train, held_out = np.arange(len(labels)), np.arange(0)
    if not options.full:
        train, held_out = datasets.holdout(labels)
    if options.subset is not None:
        train = datasets.subset(train, labels, options.subset, plan.record.seed)
    return everything.chosen(train), everything.chosen(held_out) if len(held_out) else None


def _judged(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> tuple[float, float]:
    return calibration.log_loss(logits, labels), float((logits.argmax(axis=1) == labels).mean())


def _evaluation(
    logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], temperature: float
) -> Evaluation:
    probabilities = calibration.softmax(logits, temperature)
    classes = logits.shape[1]
    pairs = labels * classes + probabilities.argmax(axis=1)
    confusion = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    return Evaluation(
        accuracy=float(np.trace(confusion) / len(labels)),
        loss=calibration.log_loss(logits, labels, temperature),
        labels=labels,
        probabilities=probabilities.astype(np.float32),
        confusion=confusion,
    )


def _calibrated(
    record: RunRecord,
    logits: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    temperature: float,
    result: Evaluation,
) -> RunRecord:
    assert record.transfer is not None
    before = calibration.reliability(calibration.softmax(logits), labels)
    after = calibration.reliability(calibration.softmax(logits, temperature), labels)
    right = int(np.trace(result.confusion))
    return replace(
        record,
        transfer=replace(
            record.transfer,
            temperature=temperature,
            calibration_error=before.error,
            calibration_error_after=after.error,
            interval=calibration.wilson(right, len(labels)),
            balanced_accuracy=float(np.nanmean(result.per_class)),
        ),
    )
