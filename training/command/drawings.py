"""The pictures of a finished run: its curves, its confusion matrix and its most confident mistakes."""

from __future__ import annotations

from pathlib import Path

from records import layout
from records.run import RunRecord
from reports.figures import training as figures
from training.command.plan import Plan
from training.fit.evaluate import Evaluation


def draw(plan: Plan, record: RunRecord, result: Evaluation, folder: Path) -> None:
    """Draw a finished run into its folder.

    Args:
        plan: The run, with the images that it was judged on.
        record: The finished record.
        result: Evaluation of those images.
        folder: Folder of the run.

    Raises:
        OSError: The folder cannot be written.
    """
    classes = record.dataset.classes
    figures.save_curves(folder / layout.CURVES, record.epochs)
    figures.save_confusion(folder / layout.CONFUSION, result.confusion, classes)
    figures.save_mistakes(
        folder / layout.MISTAKES,
        plan.judged_on.images,
        result.labels,
        result.predictions,
        result.confidence,
        classes,
    )
