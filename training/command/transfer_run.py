"""The training of a pretrained run: features from the cache, the tail, calibration, pictures, files."""

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
from reports.figures import training as figures
from training.command.display import Display
from training.command.drawings import draw
from training.command.plan import Plan
from training.data import registry as datasets
from training.fit.evaluate import Evaluation
from training.fit.runfolder import judged, write_run
from training.transfer import calibration
from training.transfer.architecture import soften
from training.transfer.features import frozen_maps
from training.transfer.stages import Stage
from training.transfer.tail import Maps, answers, fit_tail

LOSSES, LOG, LOSS_CURVE, RELIABILITY = "losses.npy", "log.txt", "loss.png", "reliability.png"


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
    architecture = transfer.architecture
    everything, test = frozen_maps(
        body,
        dataset,
        architecture,
        transfer.pretrained,
        mirrored=True,
        cache=Path(options.cache),
        device=place,
        console=console,
    )
    learned, held_out = _split(plan, everything)
    losses: list[float] = []
    log: list[str] = []

    def on_step(epoch: int, step: int, loss: float) -> None:
        losses.append(loss)
        if options.log_every and step % options.log_every == 0:
            mean = float(np.mean(losses[-options.log_every :]))
            # The form of the published log: the mean since the line before.
            log.append(f"[epoch: {epoch}, batch num: {step:3d}] loss: {mean:.3f}")
            console.print(log[-1], markup=False)

    with stop.patiently(), Display(console, plan.recipe.epochs) as display:

        def on_epoch(record: EpochRecord) -> bool:
            display.epoch(record)
            return not stop.asked

        done = fit_tail(
            tail,
            learned,
            plan.recipe,
            seed=plan.record.seed,
            unfreezing=transfer.unfreezing,
            judge=None if held_out is None else lambda: _judged(answers(tail, held_out), held_out.labels),
            on_step=on_step,
            on_epoch=on_epoch,
        )
    if done.stopped and len(done.epochs) < plan.recipe.epochs:
        raise KeyboardInterrupt
    logits = answers(tail, test)
    temperature = 1.0
    if transfer.cut == transfer.stages:
        temperature = _temperature(plan, learned)
        soften(plan.model, architecture, temperature)
    result = _evaluation(logits, test.labels, temperature)
    record = replace(
        plan.record,
        epochs=tuple(done.epochs),
        seconds=round(time.perf_counter() - began, 2),
        finished=True,
    )
    record = judged(record, test=result)
    if held_out is not None:
        record = replace(record, val_accuracy=done.epochs[-1].val_accuracy)
    record = _calibrated(record, logits, test.labels, temperature, result)
    _draw(plan, record, result, losses, folder)
    if log:
        write_text(folder / LOG, "\n".join(log) + "\n")
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
    return _chosen(everything, train), _chosen(everything, held_out) if len(held_out) else None


def _chosen(maps: Maps, positions: npt.NDArray[np.int64]) -> Maps:
    mirrored = None if maps.mirrored is None else maps.mirrored[positions]
    return Maps(maps.plain[positions], maps.labels[positions], mirrored)


def _judged(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> tuple[float, float]:
    return calibration.log_loss(logits, labels), float((logits.argmax(axis=1) == labels).mean())


def _temperature(plan: Plan, maps: Maps) -> float:
    """Return the temperature that five heads, each trained on four fifths, ask for on the fifth left out."""
    assert plan.transfer is not None
    features, classes = maps.plain.shape[1], len(plan.judged_on.classes)
    if np.bincount(maps.labels, minlength=classes).min() < 5 or len(maps) < 50:
        return 1.0

    def fold(rest: npt.NDArray[np.int64], held: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        torch.manual_seed(plan.record.seed)
        head = plan.transfer.architecture.head.build(features, classes) if plan.transfer else None
        assert head is not None
        stage = Stage("head", (head,), head)
        fit_tail([stage], _chosen(maps, rest), plan.recipe, seed=plan.record.seed)
        return answers([stage], _chosen(maps, held))

    logits = calibration.cross_fitted(len(maps), plan.record.seed, fold)
    return calibration.fit_temperature(logits, maps.labels)


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


def _draw(plan: Plan, record: RunRecord, result: Evaluation, losses: list[float], folder: Path) -> None:
    draw(plan, record, result, folder)
    figures.save_loss(folder / LOSS_CURVE, losses, len(record.epochs))
    reliability = calibration.reliability(result.probabilities.astype(np.float64), result.labels)
    figures.save_reliability(
        folder / RELIABILITY, reliability.confidence, reliability.accuracy, reliability.counts
    )
