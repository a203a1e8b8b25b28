"""Figures for papers and READMEs, drawn with matplotlib; PNG, SVG or PDF by the path's suffix.

Every figure is drawn on a canvas of its own, without pyplot: no window, no global state, fit for any thread.
The colours are those of Okabe and Ito (2008), which colour-blind readers tell apart.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import matplotlib
import numpy
import numpy.typing
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from records.files import write_with
from records.run import EpochRecord, RunRecord
from reports.errors import ReportError
from reports.mistakes import most_confident_mistakes

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
INK, MUTED, RULE = "#1f2328", "#5b636d", "#d5d9de"
EITHER = "#757b82"
"""Grey that is read on white and on the pages' dark ground alike."""
SUFFIXES = (".png", ".svg")
LABELLED_CELLS = 30
"""With more classes than this the counts no longer fit into the cells of a confusion matrix."""

Writers = Mapping[str, Callable[[Path], None]]
"""What draws each figure to a path, by the figure's name."""

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "rfcalc",  # the same ids, so the same bytes, at every run
    "svg.fonttype": "none",
    "text.parse_math": False,  # names are printed as they are
}


def save_each(writers: Writers, folder: Path) -> list[Path]:
    """Write every figure into `folder`, as PNG and as SVG; return where they are.

    Raises:
        ReportError: The folder cannot be written.
    """
    written = []
    for name, write in writers.items():
        for suffix in SUFFIXES:
            path = folder / f"{name}{suffix}"
            try:
                write(path)
            except OSError as error:
                raise ReportError(f"--figures {folder}: cannot be written ({error.strerror})") from error
            written.append(path)
    return written


def of_training(record: RunRecord, prefix: str = "") -> Writers:
    """Return what draws a training: its curves, and its confusion matrix where it has one."""
    writers: dict[str, Callable[[Path], None]] = {
        f"{prefix}curves": lambda path: save_curves(path, record.epochs)
    }
    if (counts := record.confusion) is not None:
        writers[f"{prefix}confusion"] = lambda path: save_confusion(path, counts, record.dataset.classes)
    return writers


def save_curves(path: Path, epochs: Sequence[EpochRecord]) -> None:
    """Draw loss, accuracy and learning rate against the epoch.

    Args:
        path: Where to; written whole.
        epochs: In order. Without any, the figure says so; without validation, the curve is left out.
    """
    with figure(path, (10.5, 3.4)) as drawn:
        if not epochs:
            say(drawn.subplots(), "no epoch was finished")
            return
        loss, accuracy, rate = drawn.subplots(1, 3)
        steps = [epoch.epoch for epoch in epochs]
        train = [100 * epoch.train_accuracy for epoch in epochs]
        _curve(loss, steps, [epoch.train_loss for epoch in epochs], "train (augmented)", VERMILION, "--")
        _curve(loss, steps, [epoch.val_loss for epoch in epochs], "validation", BLUE, "-")
        _curve(accuracy, steps, train, "train (augmented)", VERMILION, "--")
        validation = [None if e.val_accuracy is None else 100 * e.val_accuracy for e in epochs]
        _curve(accuracy, steps, validation, "validation", BLUE, "-")
        _curve(rate, steps, [epoch.learning_rate for epoch in epochs], "", GREEN, "-")
        for axes, title, label in (
            (loss, "Loss", "cross-entropy (nats)"),
            (accuracy, "Accuracy", "accuracy (%)"),
            (rate, "Learning rate", "at the end of the epoch"),
        ):
            axes.set(title=title, xlabel="epoch", ylabel=label)
            axes.xaxis.get_major_locator().set_params(integer=True)
        rate.set_ylim(bottom=0)
        loss.legend()
        accuracy.legend(loc="lower right")


def save_loss(path: Path, losses: Sequence[float], epochs: int) -> None:
    """Draw the loss of every step, and its mean over a twentieth of the run, against the epoch.

    Args:
        path: Where to; written whole.
        losses: Of every step, in nats.
        epochs: How many the steps make.
    """
    with figure(path, (6.4, 3.4)) as drawn:
        axes = drawn.subplots()
        if not losses:
            say(axes, "no step was finished")
            return
        values = numpy.asarray(losses, dtype=float)
        places = numpy.arange(1, len(values) + 1) * epochs / len(values)
        window = max(1, len(values) // 20)
        means = numpy.convolve(values, numpy.ones(window) / window, mode="valid")
        axes.plot(places, values, color=RULE, linewidth=0.8, label="each step")
        axes.plot(places[window - 1 :], means, color=BLUE, label=f"mean of {window} steps")
        axes.set(title="Training loss", xlabel="epoch", ylabel="cross-entropy (nats)", ylim=(0, None))
        axes.legend()


def save_reliability(
    path: Path, confidence: Sequence[float], accuracy: Sequence[float], counts: Sequence[int]
) -> None:
    """Draw the accuracy of answers against their confidence; on the diagonal the confidence can be believed.

    Args:
        path: Where to; written whole.
        confidence: Mean of each bin, 0-1.
        accuracy: Of each bin, 0-1.
        counts: Images in each bin; the area of a point.
    """
    with figure(path, (3.8, 3.8)) as drawn:
        axes = drawn.subplots()
        axes.plot([0, 100], [0, 100], color=RULE)
        sizes = [20 + 300 * count / max(sum(counts), 1) for count in counts]
        shares = [100 * share for share in confidence], [100 * share for share in accuracy]
        axes.scatter(*shares, s=sizes, color=BLUE, alpha=0.8)
        axes.set(
            title="Reliability", xlabel="confidence (%)", ylabel="right (%)", xlim=(0, 102), ylim=(0, 102)
        )


def save_confusion(
    path: Path, confusion: Sequence[Sequence[int]] | numpy.typing.NDArray[Any], classes: Sequence[str]
) -> None:
    """Draw the confusion matrix; a row is a true class, a cell's shade its share of that row.

    Args:
        path: Where to; written whole.
        confusion: Counts, (len(classes), len(classes)).
        classes: Names, printed as they are (no mathematics, no markup).

    Raises:
        ValueError: The matrix is not square or does not fit the names.
    """
    counts = numpy.asarray(confusion)
    count = len(classes)
    if counts.shape != (count, count):
        raise ValueError(f"a confusion matrix of {count} classes is {count} x {count}, got {counts.shape}")
    totals = counts.sum(axis=1, keepdims=True)
    shares = numpy.divide(counts, totals, out=numpy.zeros(counts.shape), where=totals > 0)
    side = min(3.0 + 0.5 * count, 16.0)
    with figure(path, (side + 0.8, side)) as drawn:
        axes = drawn.subplots()
        axes.grid(False)
        picture = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
        names = [_short(name) for name in classes]
        axes.set_xticks(range(count), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(count), names)
        axes.set(xlabel="predicted", ylabel="true")
        correct, images = int(numpy.trace(counts)), int(counts.sum())
        title = f"{100 * correct / images:.2f} % of {images:,} images right" if images else "no images"
        axes.set_title(title)
        axes.tick_params(length=0)
        if count <= LABELLED_CELLS:
            for row, column in zip(*numpy.nonzero(counts), strict=True):
                ink = "white" if shares[row, column] > 0.5 else INK
                number = f"{counts[row, column]:,}"
                axes.text(column, row, number, ha="center", va="center", color=ink, fontsize=7)
        bar = drawn.colorbar(picture, ax=axes, fraction=0.04, pad=0.02, label="% of the true class")
        bar.outline.set_visible(False)


class Indexed(Protocol):
    """Images by their position, perhaps read from disk only then."""

    def __getitem__(self, key: Any, /) -> Any:
        """Return (H, W, 3) of one position."""


def save_mistakes(
    path: Path,
    images: Indexed,
    labels: Sequence[int] | numpy.typing.NDArray[Any],
    predictions: Sequence[int] | numpy.typing.NDArray[Any],
    confidence: Sequence[float] | numpy.typing.NDArray[Any],
    classes: Sequence[str],
) -> None:
    """Draw the most confident mistakes, as many as 24, the surest first.

    Args:
        path: Where to; written whole.
        images: (K, H, W, 3), 0-255; right answers among them are left out.
        labels: K true classes, as indices into `classes`.
        predictions: K predicted classes.
        confidence: K probabilities of the predicted class, 0-1.
        classes: Names, printed as they are.
    """
    true, predicted = numpy.asarray(labels, dtype=int), numpy.asarray(predictions, dtype=int)
    sure = numpy.asarray(confidence, dtype=float)
    chosen = most_confident_mistakes(true, predicted, sure)
    columns = 8
    rows = max(1, -(-len(chosen) // columns))
    # Nothing behind the images: the picture lies on light and on dark pages.
    with figure(path, (1.25 * columns, 1.62 * rows), clear=True) as drawn:
        if not len(chosen):
            say(drawn.subplots(), "no mistakes")
            return
        grid = drawn.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, index in zip(grid, chosen, strict=False):
            axes.imshow(images[index], interpolation="nearest")
            says, is_ = _short(classes[predicted[index]], 16), _short(classes[true[index]], 16)
            axes.set_title(
                f"{says} {100 * sure[index]:.0f} %\nis {is_}",
                fontsize=7.5,
                fontweight="normal",
                pad=3,
                color=EITHER,
            )


@contextmanager
def figure(path: Path, inches: tuple[float, float], clear: bool = False) -> Iterator[Figure]:
    """Yield a figure in the house style and write it to `path`, whole, when the block is done.

    Args:
        path: .png, .svg or .pdf.
        inches: Width and height.
        clear: Leave the background out, so that whatever it is put on shows through.
    """
    with matplotlib.rc_context(_STYLE):
        drawn = Figure(figsize=inches, dpi=110, layout="constrained")
        FigureCanvasAgg(drawn)
        yield drawn
        # No date and no version: the same run gives the same bytes.
        stamp = {".png": "Software", ".svg": "Date", ".pdf": "CreationDate"}.get(path.suffix)
        metadata = {stamp: None} if stamp else None
        with warnings.catch_warnings():
            # A class name in a script that DejaVu lacks is drawn as boxes; the page has it in full.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            write_with(
                path,
                lambda temporary: drawn.savefig(
                    temporary, metadata=metadata, bbox_inches="tight", transparent=clear
                ),
            )


def _curve(
    axes: Axes, steps: list[int], values: Sequence[float | None], label: str, colour: str, line: str
) -> None:
    known = [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]
    if known:
        marker = "o" if len(known) == 1 else None
        axes.plot(*zip(*known, strict=True), line, color=colour, label=label, marker=marker)


def say(axes: Axes, words: str) -> None:
    """Put words where there is nothing to draw."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, ha="center", va="center", color=MUTED, transform=axes.transAxes)


def _short(name: str, longest: int = 24) -> str:
    """Keep a name on one line of bearable length."""
    name = " ".join(name.split())
    return name if len(name) <= longest else name[: longest - 1] + "…"
