"""What a finished training leaves in its folder: run.json, best.safetensors, predictions.npz.

`train.py` and the last stage of a search both write it here, so that both can be read by the same pages.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from records.files import write_json, write_with
from records.layout import PREDICTIONS, RUN, WEIGHTS
from records.run import DatasetFacts, RunRecord
from training.data.registry import Dataset
from training.fit.checkpoint import save_weights
from training.fit.evaluate import Evaluation


def dataset_facts(
    dataset: Dataset, train_images: int, validation_images: int, train_by_class: Iterable[int] = ()
) -> DatasetFacts:
    """Return what a record says of the images.

    Args:
        dataset: Where they come from.
        train_images: How many were trained on, after the validation split and any subset.
        validation_images: How many choices were made on; 0 when they were trained on, too.
        train_by_class: How many of the former are of each class, where that is known.
    """
    return DatasetFacts(
        name=dataset.name,
        kind=dataset.kind,
        title=dataset.title,
        fingerprint=dataset.fingerprint,
        classes=dataset.classes,
        image_size=dataset.image_size,
        train_images=train_images,
        validation_images=validation_images,
        test_images=len(dataset.test),
        mean=dataset.mean,
        std=dataset.std,
        notice=dataset.notice,
        train_by_class=tuple(map(int, train_by_class)),
        unreadable=dataset.unreadable,
    )


def judged(
    record: RunRecord,
    *,
    validation: Evaluation | None = None,
    test: Evaluation | None = None,
    test_flip: Evaluation | None = None,
) -> RunRecord:
    """Return `record` with the accuracies of the final weights; a class without images is left out."""
    last = test if test is not None else validation
    per_class = None
    if last is not None:
        accuracies = zip(record.dataset.classes, last.per_class.tolist(), strict=True)
        per_class = {name: share for name, share in accuracies if not math.isnan(share)}
    return dataclasses.replace(
        record,
        val_accuracy=None if validation is None else validation.accuracy,
        test_accuracy=None if test is None else test.accuracy,
        test_loss=None if test is None else test.loss,
        test_accuracy_flip=None if test_flip is None else test_flip.accuracy,
        per_class=per_class,
        confusion=None if last is None else tuple(tuple(row) for row in last.confusion.tolist()),
    )


def weights_metadata(record: RunRecord) -> dict[str, Any]:
    """Return what a reader of `best.safetensors` needs to use the weights."""
    data = record.dataset
    return {
        "network": record.network,
        "spec": record.spec,
        **_transferred(record),
        "target": record.target,
        "classes": list(data.classes),
        "input_size": [3, *data.image_size],
        # Of pixels 0-255: (pixel - mean) / std.
        "normalisation": {"mean": list(data.mean), "std": list(data.std)},
        "dataset": data.title,
        "val_accuracy": record.val_accuracy,
        "test_accuracy": record.test_accuracy,
    }


def _transferred(record: RunRecord) -> dict[str, Any]:
    if record.transfer is None:
        return {}
    return {"architecture": record.transfer.architecture, "temperature": record.transfer.temperature}


def write_run(
    folder: Path, record: RunRecord, model: nn.Module, evaluation: Evaluation, split: str
) -> tuple[Path, ...]:
    """Write the files of a finished run, each of them whole, and run.json as the last.

    Args:
        folder: Made where it is missing.
        record: Complete; `judged` fills in what an evaluation says.
        model: With the final weights.
        evaluation: Of those weights.
        split: "validation" or "test": what was evaluated.

    Returns:
        The paths that were written.

    Raises:
        OSError: The folder cannot be written or the disk is full.
    """
    weights, predictions, run = folder / WEIGHTS, folder / PREDICTIONS, folder / RUN
    save_weights(weights, model, weights_metadata(record))
    write_predictions(predictions, evaluation, record.dataset.classes, split)
    write_json(run, record.to_json())
    return weights, predictions, run


def write_predictions(path: Path, evaluation: Evaluation, classes: Sequence[str], split: str) -> None:
    """Write labels, predictions, confidence and probabilities as plain arrays (no pickle is needed)."""

    def write(temporary: Path) -> None:
        np.savez_compressed(
            temporary,
            labels=evaluation.labels,
            predictions=evaluation.predictions,
            confidence=evaluation.confidence,
            probabilities=evaluation.probabilities,
            classes=np.array(classes),
            split=np.array(split),
        )

    write_with(path, write)
