"""The conditions that an accuracy was measured under, in words: images, runs, standard error."""

import math
import statistics
from collections.abc import Sequence

from records.run import DatasetFacts, RunRecord
from records.text import duration, plural
from reports.tables.table import percent


def accuracy_words(run: RunRecord) -> tuple[str, str, str]:
    """The accuracy that the page leads with: on test where it was measured, else on validation."""
    if run.test_accuracy is not None:
        return "Test accuracy", percent(run.test_accuracy), test_note(run)
    if run.val_accuracy is not None:
        seen = run.dataset.validation_images
        error = standard_error(run.val_accuracy, seen)
        words = f"n = 1 run, {seen:,} images{error}; the test set was not met"
        return "Validation accuracy", percent(run.val_accuracy), words
    return "Accuracy", "none", "no accuracy was measured"


def test_note(run: RunRecord) -> str:
    """The conditions of the test accuracy."""
    share, images = run.test_accuracy or 0.0, run.dataset.test_images
    return f"n = 1 run, {plural(len(run.epochs), 'epoch')}; {images:,} images{standard_error(share, images)}"


def standard_error(share: float, images: int) -> str:
    """How far an accuracy may be off because the images are a sample: sqrt(p (1 - p) / n), in points.

    It says nothing of the spread from seed to seed, which one run cannot show.
    """
    if images < 1:
        return ""
    return f", standard error {100 * math.sqrt(share * (1 - share) / images):.2f} points"


def repeats(scores: Sequence[float]) -> str:
    """Say how many runs a mean rests on, and how far they lie apart."""
    if len(scores) < 2:
        return "n = 1 run"
    spread = 100 * statistics.stdev(scores)
    least, most = percent(min(scores)), percent(max(scores))
    return f"mean of n = {len(scores)} runs, standard deviation {spread:.2f} points, {least} to {most}"


def took(run: RunRecord) -> str:
    """Wall time of a run and how long an epoch took."""
    each = f"{duration(run.seconds / len(run.epochs))} an epoch" if run.epochs else "no epoch"
    return f"{duration(run.seconds)} ({each})"


def images(dataset: DatasetFacts) -> str:
    """How many images a run saw, and of what size."""
    height, width = dataset.image_size
    seen = f"{dataset.train_images:,} train, {dataset.validation_images:,} validation"
    return f"{seen}, {dataset.test_images:,} test; {height} x {width} pixels"
