"""Progress of a training on the terminal: a bar and a growing table, or plain lines."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from rich.console import Console, RenderableType
from rich.live import Live

from records.run import EpochRecord, RunRecord
from records.terminal import StepBar
from training.data.balance import are_unequal
from training.fit.loop import Progress

_HEADER = f"{'epoch':>9}  {'loss':>7}  {'train':>7}  {'val loss':>8}  {'val':>7}  {'rate':>8}  {'seconds':>7}"


class Display:
    """Progress of one training; a context manager.

    Args:
        console: Where it is drawn.
        epochs: Of the training.
        now: A clock in seconds.
        live: Whether it is drawn again by itself, several times a second; otherwise `refresh` draws it.
    """

    def __init__(
        self, console: Console, epochs: int, now: Callable[[], float] = time.monotonic, *, live: bool = True
    ) -> None:
        self._console, self._epochs, self._headed, self._now = console, epochs, False, now
        self._bar = StepBar(f"epoch 1/{epochs}", epochs, now=now)
        self._bar.shown = "getting ready"
        self._begun = False
        self._live = Live(console=console, get_renderable=self._drawing, transient=True, auto_refresh=live)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def refresh(self) -> None:
        """Draw the bar now."""
        self._live.refresh()

    def step(self, progress: Progress) -> None:
        """Move the bar of the whole run; called several times a second."""
        bar, done = self._bar, progress.epoch - 1 + progress.step / progress.steps
        if not self._begun:
            self._begun = True
            bar.skip_to(progress.epoch - 1)  # epochs of an earlier session
        bar.title, bar.shown = f"epoch {progress.epoch}/{progress.epochs}", f"{done / bar.total:.0%}"
        bar.move(
            done,
            f"loss {progress.loss:.3f}  train {progress.accuracy:.1%}  "
            f"{progress.images_per_second:,.0f} images/s",
        )

    def _drawing(self) -> RenderableType:
        return self._bar

    def epoch(self, record: EpochRecord) -> None:
        """Print an epoch's line."""
        if not self._headed:
            self._console.print(_HEADER, style="dim")
            self._headed = True
        self._console.print(epoch_line(record, self._epochs))


def epoch_line(record: EpochRecord, epochs: int) -> str:
    """Return one row of the table of epochs."""
    loss = "-" if record.val_loss is None else f"{record.val_loss:.4f}"
    accuracy = "-" if record.val_accuracy is None else f"{record.val_accuracy:.2%}"
    return (
        f"{record.epoch:>4}/{epochs:<4}  {record.train_loss:>7.4f}  {record.train_accuracy:>7.2%}  "
        f"{loss:>8}  {accuracy:>7}  {record.learning_rate:>8.2g}  {record.seconds:>7.1f}"
    )


def conclude(record: RunRecord, folder: Path, console: Console) -> None:
    """Show the result of a run."""
    data = record.dataset
    if record.test_accuracy is not None:
        text = f"test accuracy {record.test_accuracy:.2%} on {data.test_images:,} images of {data.title}"
        if record.test_accuracy_flip is not None:
            text += f" (with flip test-time augmentation {record.test_accuracy_flip:.2%})"
    else:
        accuracy = record.val_accuracy or 0.0
        text = f"validation accuracy {accuracy:.2%} on {data.validation_images:,} images of {data.title}"
    if (transfer := record.transfer) is not None and transfer.interval is not None:
        low, high = transfer.interval
        text += f" (95 % interval {low:.1%} to {high:.1%})"
    console.print(f"{text}, seed {record.seed}, {record.seconds:.0f} s", style="bold", markup=False)
    if transfer is not None and transfer.calibration_error is not None:
        console.print(
            f"calibration error {transfer.calibration_error:.2%}, "
            f"{transfer.calibration_error_after:.2%} with temperature {transfer.temperature:.2f}",
            markup=False,
        )
    if line := balanced_line(record.confusion):
        console.print(line, markup=False)
    if record.per_class and len(record.per_class) > 2:
        hardest = sorted(record.per_class.items(), key=lambda item: item[1])[:3]
        shown = ", ".join(f"{name} {share:.1%}" for name, share in hardest if share < 1)
        console.print(f"hardest: {shown or 'none, all are right'}", markup=False)
    if data.notice:
        console.print(data.notice, style="bold yellow", markup=False)
    network = "model.py, " if record.spec is not None else ""
    console.print(
        f"wrote {folder}: best.safetensors, {network}run.json, predictions.npz, curves.png, confusion.png, "
        "mistakes.png",
        markup=False,
    )


def balanced_line(confusion: Sequence[Sequence[int]] | npt.NDArray[np.int64] | None) -> str | None:
    """Return the balanced accuracy where the classes are of unequal size; None where they are not.

    Args:
        confusion: (C, C) counts, rows are true classes; None: not known.
    """
    if confusion is None:
        return None
    matrix = np.asarray(confusion)
    counts = matrix.sum(axis=1)
    if not are_unequal(counts):
        return None
    present = counts > 0
    mean = float((np.diagonal(matrix)[present] / counts[present]).mean())
    return (
        f"balanced accuracy {mean:.2%}: the mean of the classes, which have {counts.min():,} to "
        f"{counts.max():,} of these images"
    )


def resume_command(folder: Path) -> str:
    """Return the command that continues the run in `folder`."""
    words = ["python", "train.py", "--resume", "--name", folder.name]
    if folder.parent != Path("runs/train"):
        words += ["--out", str(folder.parent)]
    return shlex.join(words)


def show_stopped(folder: Path, console: Console) -> None:
    """Show what is kept of a run that was stopped, and how to continue it."""
    if not folder.is_dir():
        console.print("stopped before anything was trained; nothing was kept")
        return
    console.print(f"stopped; what was trained is kept. Continue with: {resume_command(folder)}", markup=False)
