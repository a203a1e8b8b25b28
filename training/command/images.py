"""Which images a trained network is judged on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from records.run import RunRecord
from records.settings import CACHE, RunSettings
from training.command.options import Options
from training.command.trained import Trained
from training.data import registry as datasets
from training.data.registry import Dataset
from training.data.samples import Samples
from training.errors import TrainingError


@dataclass(frozen=True)
class Origin:
    """Where the images of a run came from."""

    data: str | None
    """What `--data` was, or the kind of data that was found; None where it is not known."""
    resize: int | None
    cache: str
    skip_unreadable: bool = False


def origin(record: RunRecord) -> Origin:
    """Return where the images of a run came from; what was found counts, not what was asked for."""
    settings = record.settings or RunSettings()
    known = datasets.kept_name(record.dataset.kind, settings.data)
    return Origin(known, settings.resize, settings.cache, settings.skip_unreadable)


def images_of(
    trained: Trained, options: Options, given: Collection[str], console: Console
) -> tuple[Samples, str, Dataset]:
    """Load the images to judge a network on, normalised as it is used to.

    Args:
        trained: The network.
        options: `data`, `resize`, `skip_unreadable`, `cache` and `split`.
        given: Names of the options that were given; the others are as the run had them.
        console: Where progress is shown.

    Returns:
        The images, "validation" or "test", and the data set that they are of.

    Raises:
        TrainingError: It is not known which images, they do not fit the network, or it learned from them.
    """
    before = origin(trained.record) if trained.record else Origin(None, None, CACHE)
    data = options.data or before.data
    if data is None:
        raise TrainingError(
            f"{trained.file} was trained on {trained.dataset}; name the images to judge it on: --data D"
        )
    dataset = datasets.load(
        data,
        cache=Path(options.cache if "cache" in given else before.cache),
        resize=options.resize if options.data or trained.preprocessing else options.resize or before.resize,
        squared=trained.preprocessing,
        skip_unreadable=options.skip_unreadable or before.skip_unreadable,
        console=console,
    )
    _check(trained, dataset, data)
    split = options.split or _reported(trained)
    if split == "validation":
        _refuse_what_it_learned(trained)
        images, labels = dataset.train.images, dataset.train.labels
        held_out = datasets.holdout(labels)[1]
        images, labels = images[held_out], labels[held_out]
    else:
        images, labels = dataset.test.images, dataset.test.labels
    # Copied out of the read-only memory map.
    samples = Samples(np.array(images), np.array(labels), trained.classes, trained.mean, trained.std)
    return samples, split, dataset


def _reported(trained: Trained) -> str:
    """Return the images that the run itself was judged on."""
    return "validation" if trained.record and trained.record.dataset.validation_images else "test"


def _refuse_what_it_learned(trained: Trained) -> None:
    if trained.record and not trained.record.dataset.validation_images:
        raise TrainingError(
            f"--split validation: {trained.file} was trained on the validation images too (--full), so an "
            "accuracy there means nothing; take --split test"
        )


def _check(trained: Trained, dataset: Dataset, data: str) -> None:
    if dataset.classes != trained.classes:
        raise TrainingError(
            f"--data {data}: has {_listed(dataset.classes)}, but {trained.file} knows "
            f"{_listed(trained.classes)}; it can be judged on images of its own classes alone"
        )
    if dataset.image_size != trained.image_size:
        (height, width), (own_height, own_width) = dataset.image_size, trained.image_size
        way = f"; add --resize {own_height}" if own_height == own_width else ""
        raise TrainingError(
            f"--data {data}: images of {height}x{width}, but {trained.file} was trained on images of "
            f"{own_height}x{own_width}{way}"
        )


def _listed(classes: tuple[str, ...]) -> str:
    some = ", ".join(classes[:3])
    return f"{len(classes)} classes ({some}{', ...' if len(classes) > 3 else ''})"
