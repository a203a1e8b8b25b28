"""`--qat`: some epochs more with the roundings of int8, by the project's own trainer, at a low rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from torch import nn

from export.accuracy import Accuracy, accuracy_of
from export.c.calibration import Stored
from export.c.quantise import calibrated
from export.errors import ExportError
from export.graph import Graph
from export.images import Images
from export.qat.fake import FakeQuantised
from export.subject import Subject
from records.run import EpochRecord
from training.data.registry import Dataset, holdout
from training.data.samples import Samples
from training.fit.evaluate import evaluate
from training.fit.loop import fit
from training.fit.recipe import Recipe, RecipeError

RATE = 1e-4
"""Highest learning rate of AdamW: a weight moves by about that much in a step, whatever its gradient."""
_BATCH = 64


@dataclass(frozen=True, eq=False)
class Tuned:
    """A network after its fine-tuning."""

    network: Graph
    """With the new weights."""
    stored: tuple[Stored, ...]
    """How its values are stored: as they were while it was trained."""
    record: dict[str, Any]
    """The figures of the report, as JSON values."""


def tune(
    subject: Subject,
    network: Graph,
    images: Images,
    *,
    epochs: int,
    rate: float,
    seed: int,
    console: Console,
) -> Tuned:
    """Train a network on with the roundings of its int8 form.

    The scales of the values are chosen once, on the calibration images, and stay; those of the weights follow
    the weights. The images are the training split without those held out for validation.

    Args:
        subject: A trained network.
        network: Its operators.
        images: Its images.
        epochs: Passes over the training images.
        rate: Highest learning rate.
        seed: Of shuffling and augmentation.
        console: Where each epoch is shown.

    Raises:
        ExportError: The network is not trained, or cannot be quantised.
        TrainingError: The loss is not finite.
    """
    dataset = images.dataset
    if dataset is None or subject.trained is None:
        raise ExportError(f"--qat {epochs}: {subject.name} is not trained; fine-tuning needs a finished run")
    stored = calibrated(subject.name, network, images.calibration, subject.mean, subject.std)
    model = FakeQuantised(network, stored)
    kept, held = holdout(dataset.train.labels)
    training = _samples(subject, dataset, kept)
    validation = _samples(subject, dataset, held)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    before = _judged(model, validation, device), _of_images(model, subject, images, device)
    recipe = recipe_of(subject, epochs=epochs, rate=rate, images=len(training))
    console.print(
        f"int8      {before[0].share:.2%} of {len(validation):,} validation images before fine-tuning",
        markup=False,
    )

    def show(epoch: EpochRecord) -> None:
        console.print(
            f"qat       epoch {epoch.epoch} of {epochs}: loss {epoch.train_loss:.4f}, "
            f"{epoch.val_accuracy or 0:.2%} of the validation images, {epoch.seconds:.0f} s",
            markup=False,
        )

    history = fit(model, training, validation, recipe, seed=seed, device=device, on_epoch=show)
    after = _judged(model, validation, device), _of_images(model, subject, images, device)
    if after[0].share < before[0].share:
        console.print(
            f"          fine-tuning lost {100 * (before[0].share - after[0].share):.2f} points on the "
            "validation images: leave --qat out, or lower --qat-rate",
            style="yellow",
            markup=False,
        )
    record = {
        "epochs": epochs,
        "seed": seed,
        "images": len(training),
        "recipe": history.recipe.to_json(),
        "losses": [epoch.train_loss for epoch in history.epochs],
        "validation": _pair(before[0], after[0]) | {"learned": _learned(subject)},
        "judged": None if before[1] is None or after[1] is None else _pair(before[1], after[1]),
    }
    return Tuned(model.cpu().graph(), stored, record)


def recipe_of(subject: Subject, *, epochs: int, rate: float, images: int) -> Recipe:
    """Return the recipe of a fine-tuning: AdamW at a low rate, with the augmentation of the run.

    Args:
        subject: The network; its run's policy, label smoothing and balance are kept.
        epochs: Of the fine-tuning.
        rate: Highest learning rate.
        images: To train on; no batch is larger.
    """
    record = None if subject.trained is None else subject.trained.record
    try:
        own = None if record is None else Recipe.from_json(record.recipe)
    except RecipeError:  # of another version
        own = None
    return Recipe(
        name="qat",
        epochs=epochs,
        batch_size=max(2, min(_BATCH if own is None else own.batch_size, images)),
        optimizer="adamw",
        learning_rate=rate,
        schedule="cosine",
        warmup=0.05,
        label_smoothing=0.0 if own is None else own.label_smoothing,
        policy="light" if own is None else own.policy,
        balance="none" if own is None else own.balance,
        # The roundings are those of float32; lower precision would add its own.
        precision="float32",
        layout="contiguous",  # "auto" is timed: the same seed would not always be the same result
        augment="cpu",  # images stay on disk: photographs would not fit a device
        compile="off",
    )


def _samples(subject: Subject, dataset: Dataset, positions: npt.NDArray[np.int64]) -> Samples:
    # Normalised as the network is used to, which need not be by the figures of this data set.
    found = Samples.mapped(dataset.train, positions, dataset)
    return replace(found, mean=subject.mean, std=subject.std)


def _judged(model: nn.Module, samples: Samples, device: str) -> Accuracy:
    found = evaluate(model, samples, device=device)
    return accuracy_of(found.predictions, found.labels, samples.classes)


def _of_images(model: nn.Module, subject: Subject, images: Images, device: str) -> Accuracy | None:
    if images.labels is None:
        return None
    samples = Samples(images.judged, images.labels, subject.classes, subject.mean, subject.std)
    return _judged(model, samples, device)


def _pair(before: Accuracy, after: Accuracy) -> dict[str, Any]:
    return {"before": before.to_json(), "after": after.to_json()}


def _learned(subject: Subject) -> bool:
    """Return whether the run learned from the validation images (`--full`)."""
    record = None if subject.trained is None else subject.trained.record
    return record is not None and not record.dataset.validation_images
