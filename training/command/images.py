"""Which images a trained network is judged on."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from records.run import RunRecord
from training.command.files import CACHE
from training.command.trained import Trained
from training.data import registry as datasets
from training.data.registry import Dataset
from training.data.samples import Samples
from training.errors import TrainingError


@dataclass(frozen=True)
class Origin:
    """How the images of a run were named on its command line."""

    data: str | None
    resize: int | None
    cache: Path | None


def words_of(record: RunRecord) -> list[str]:
    """Return the flags that a run was started with.

    Raises:
        TrainingError: What run.json says is no command line.
    """
    try:
        return shlex.split(record.command or "")[2:]
    except ValueError as error:
        raise TrainingError(
            f"run {record.name!r}: field 'command' of its run.json is no command line ({error})"
        ) from error


def origin(record: RunRecord) -> Origin:
    """Return how the command of a run named its images; what was found counts, not what was asked for."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--data")
    parser.add_argument("--resize", type=int)
    parser.add_argument("--cache", type=Path)
    try:
        found = parser.parse_known_args(words_of(record))[0]
    except (argparse.ArgumentError, TrainingError):  # a command line from elsewhere
        found = argparse.Namespace(data=None, resize=None, cache=None)
    known = record.dataset.kind if record.dataset.kind in ("cifar10", "shapes") else found.data
    return Origin(known, found.resize, found.cache)


def images_of(
    trained: Trained, options: argparse.Namespace, console: Console
) -> tuple[Samples, str, Dataset]:
    """Load the images to judge a network on, normalised as it is used to.

    Args:
        trained: The network.
        options: `data`, `resize`, `cache` and `split`; what is not given is as the run had it.
        console: Where progress is shown.

    Returns:
        The images, "validation" or "test", and the data set that they are of.

    Raises:
        TrainingError: It is not known which images, they do not fit the network, or it learned from them.
    """
    before = origin(trained.record) if trained.record else Origin(None, None, None)
    data = options.data or before.data
    if data is None:
        raise TrainingError(
            f"{trained.file} was trained on {trained.dataset}; name the images to judge it on: --data D"
        )
    dataset = datasets.load(
        data,
        cache=options.cache or before.cache or CACHE,
        resize=options.resize if options.data else options.resize or before.resize,
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
            "accuracy there says nothing; take --split test"
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
