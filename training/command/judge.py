"""`--evaluate`: the accuracy of a trained network, on which images, class by class."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from records.next_steps import after_evaluation, shown
from training.command.display import balanced_line
from training.command.images import images_of
from training.command.options import Options
from training.command.trained import Trained, open_trained
from training.data.registry import Dataset
from training.fit import device
from training.fit.evaluate import Evaluation, evaluate


def judge(options: Options, given: Collection[str], console: Console) -> None:
    """Evaluate the network that `--evaluate` names and show the result.

    Args:
        options: Of train.py, with `evaluate`.
        given: Names of the options that were given; the others are as in the run's own settings.
        console: Where the result is shown.

    Raises:
        TrainingError: Weights, images and device do not fit together.
    """
    place = device.resolve(options.device)
    assert options.evaluate is not None
    trained = open_trained(options.evaluate, options.model)
    samples, split, dataset = images_of(trained, options, given, console)
    params = sum(each.numel() for each in trained.network.parameters())
    lines = [
        f"network   {trained.name}: {params:,} parameters, trained on {trained.dataset}",
        f"weights   {trained.file}",
        f"images    {len(samples):,} {split} images of {dataset.title}{_provenance(trained, dataset, split)}",
    ]
    if dataset.notice:
        console.print(dataset.notice, style="bold yellow", markup=False)
    for line in lines:
        console.print(line, markup=False)
    result = evaluate(trained.network, samples, device=str(place))
    console.print(per_class_table(result, samples.classes))
    console.print(
        f"{split} accuracy {result.accuracy:.2%} on {len(samples):,} images of {dataset.title}, "
        f"loss {result.loss:.4f}",
        style="bold",
        markup=False,
    )
    if balanced := balanced_line(result.confusion):
        console.print(balanced, markup=False)
    console.print(_recorded(trained, dataset, split, result), markup=False, end="")
    if options.tta:
        flipped = evaluate(trained.network, samples, device=str(place), flip=True)
        console.print(
            f"with flip test-time augmentation {flipped.accuracy:.2%}: the mean of each image and its mirror "
            "image, a figure of its own",
            markup=False,
        )
    steps = after_evaluation(options.evaluate, options.model)
    console.print(shown(steps), markup=False, highlight=False, soft_wrap=True)


def per_class_table(result: Evaluation, classes: tuple[str, ...]) -> Table:
    """Return a row a class: its images, how many are right, and what it is most often taken for."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("class")
    table.add_column("images", justify="right")
    table.add_column("right", justify="right")
    table.add_column("accuracy", justify="right")
    table.add_column("most often taken for")
    for number, row in enumerate(result.confusion):
        wrong = np.where(np.arange(len(row)) == number, 0, row)
        other = int(wrong.argmax())
        share = result.per_class[number]
        table.add_row(
            Text(classes[number]),
            f"{row.sum():,}",
            f"{row[number]:,}",
            "-" if np.isnan(share) else f"{share:.1%}",
            Text(f"{classes[other]} ({wrong[other]:,})" if wrong[other] else "-"),
        )
    return table


def _provenance(trained: Trained, dataset: Dataset, split: str) -> str:
    """Return how these images relate to the training of the network."""
    record = trained.record
    if record is None:
        return ""
    if record.dataset.fingerprint != dataset.fingerprint:
        return f", other images than those of the run ({record.dataset.title})"
    return ", held out of training" if split == "validation" else ", never trained on"


def _recorded(trained: Trained, dataset: Dataset, split: str, result: Evaluation) -> str:
    """Compare with the accuracy that run.json holds for the same images."""
    record = trained.record
    if record is None or record.dataset.fingerprint != dataset.fingerprint:
        return ""
    recorded = record.test_accuracy if split == "test" else record.val_accuracy
    if recorded is None:
        return ""
    # An image whose two best classes are as good as equal may fall either way on another device.
    same = abs(recorded - result.accuracy) * len(result.labels) < 0.5
    return "as run.json says\n" if same else f"run.json says {recorded:.2%}\n"
