"""The images of an export: to calibrate on, from the training split; to measure on, as the run was judged."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from export.errors import ExportError
from export.subject import Subject
from training.command.images import images_of, origin
from training.command.options import Options
from training.data.registry import Dataset, holdout, subset

Pixels = npt.NDArray[np.uint8]
NOISE = 64
"""Images of an untrained network: noise, which calibrates nothing but lets the files be written."""


@dataclass(frozen=True, eq=False)
class Images:
    """The images of an export."""

    calibration: Pixels
    """(N, H, W, 3), RGB."""
    calibration_source: str
    """Where they come from, with number and seed."""
    judged: Pixels
    """(M, H, W, 3)"""
    labels: npt.NDArray[np.int64] | None
    """(M,); None for noise."""
    judged_source: str
    classes: tuple[str, ...]
    dataset: Dataset | None
    """What they are of; None for noise."""


def load_images(
    subject: Subject, options: Options, given: Collection[str], *, count: int, seed: int, console: Console
) -> Images:
    """Load the images of an export.

    Args:
        subject: The network.
        options: Of train.py: `data`, `cache`, `resize`, `split`; what is not given is as the run had it.
        given: Names of those that were given.
        count: Images to calibrate on; 0: none are needed.
        seed: Of their choice.
        console: Where progress is shown.

    Raises:
        ExportError: There are fewer than `count` images to calibrate on.
        UserError: The images cannot be loaded or do not fit the network.
    """
    if subject.trained is None:
        _, height, width = subject.input_size
        noise = np.random.default_rng(seed).integers(0, 256, (max(count, NOISE), height, width, 3), np.uint8)
        text = f"noise, seed {seed}: the network is not trained"
        return Images(noise[:count], f"{count} of {text}", noise[:NOISE], None, text, subject.classes, None)
    samples, split, dataset = images_of(subject.trained, options, given, console)
    chosen = _calibration(dataset, subject, count, seed) if count else np.zeros(0, np.int64)
    return Images(
        np.array(dataset.train.images[chosen]),
        f"{count} training images of {dataset.title}, every class in proportion, seed {seed}",
        np.asarray(samples.images[:]),
        samples.labels,
        f"{len(samples):,} {split} images of {dataset.title}",
        subject.classes,
        dataset,
    )


def _calibration(dataset: Dataset, subject: Subject, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Choose training images; those held out for validation are none, even where the run learned from it."""
    labels = dataset.train.labels
    training = holdout(labels)[0]
    if count > len(training):
        raise ExportError(
            f"--calibration {count}: {dataset.title} has {len(training):,} training images beside those held "
            "out for validation; ask for fewer"
        )
    return subset(training, labels, count, seed)


def options_of(
    data: str | None, cache: str | None, resize: int | None, split: str | None
) -> tuple[Options, set[str]]:
    """Return the options of train.py that choose the images, and which of them were given."""
    values = {"data": data, "cache": cache, "resize": resize, "split": split}
    given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    return replace(Options(), **given), set(given)


def has_images(subject: Subject, data: str | None) -> bool:
    """Return whether images are known: those of the run, those that were named, or noise."""
    trained = subject.trained
    if trained is None or data is not None:
        return True
    return trained.record is not None and origin(trained.record).data is not None
