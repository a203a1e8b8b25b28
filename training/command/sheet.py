"""`--show-augmentation`: a sheet of what a policy does to images."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from reports.figures.training import figure
from training.batches.follow_albumentations import Augmentation
from training.command.options import Options
from training.command.plan import recipe_of
from training.data import registry as datasets
from training.data.registry import Dataset
from training.errors import TrainingError
from training.fit.device import resolve

ROWS, COLUMNS = 8, 9
"""Images, and forms of each beside the original."""


def show_augmentation(options: Options, console: Console) -> None:
    """Write the sheet that `--show-augmentation` asks for.

    Raises:
        TrainingError: No such data or policy, or the path is not that of a picture.
    """
    path = options.output
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise TrainingError(f"--output {path}: must end in .png, .svg or .pdf")
    if importlib.util.find_spec("albumentations") is None:
        raise TrainingError("--show-augmentation needs albumentations, which is not installed")
    policy = recipe_of(options, resolve(options.device).type).policy
    dataset = datasets.load(
        options.data,
        cache=Path(options.cache),
        resize=options.resize,
        skip_unreadable=options.skip_unreadable,
        console=console,
    )
    if dataset.notice:
        console.print(dataset.notice, style="bold yellow", markup=False)
    originals, names = examples(dataset, options.seed)
    save_sheet(path, originals, names, augmented(dataset, originals, policy, options.seed), policy)
    console.print(
        f"wrote {path}: {len(names)} training images of {dataset.title}, each with {COLUMNS} forms under "
        f"policy {policy}",
        markup=False,
    )


def examples(dataset: Dataset, seed: int) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Return a training image of each of the first classes, and their names."""
    random = np.random.Generator(np.random.PCG64(seed))
    labels = dataset.train.labels
    chosen = [int(random.choice(np.flatnonzero(labels == label))) for label in range(len(dataset.classes))]
    return np.array(dataset.train.images[chosen[:ROWS]]), dataset.classes[:ROWS]


def augmented(
    dataset: Dataset, originals: npt.NDArray[np.uint8], policy: str, seed: int
) -> npt.NDArray[np.uint8]:
    """Return (images, COLUMNS, H, W, 3): what training would make of each."""
    augment = Augmentation(policy, dataset.image_size, dataset.mean)
    return augment(np.repeat(originals, COLUMNS, axis=0), (seed,)).reshape(
        len(originals), COLUMNS, *originals.shape[1:]
    )


def save_sheet(
    path: Path,
    originals: npt.NDArray[np.uint8],
    names: Sequence[str],
    forms: npt.NDArray[np.uint8],
    policy: str,
) -> None:
    """Draw each original in a row with its augmented forms; written whole."""
    rows, columns = forms.shape[:2]
    height, width = originals.shape[1:3]
    gap = columns + 1.25  # a little air sets the originals apart
    side = 0.95
    with figure(path, (side * gap, side * rows * height / width + 0.4)) as drawn:
        grid = drawn.subplots(rows, columns + 2, squeeze=False, width_ratios=[1, 0.15, *[1.0] * columns])
        for row in range(rows):
            pictures = [originals[row], None, *forms[row]]
            for axes, picture in zip(grid[row], pictures, strict=True):
                axes.set_xticks([])
                axes.set_yticks([])
                axes.spines[:].set_visible(False)
                if picture is not None:
                    axes.imshow(picture, interpolation="nearest")
                else:
                    axes.set_axis_off()
            grid[row][0].set_ylabel(names[row], fontsize=8)
        grid[0][0].set_title("original", fontsize=8)
        grid[0][2].set_title(f"under policy {policy}", fontsize=8)
