"""Figures for papers and READMEs, of a search, of a training run and of a network: each as PNG and as SVG.

`search_figures` and `figures` draw a search and a training; here are the figures of a network, from what
rfcalc says of it, and what writes all that fit a run.
"""

import math
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
from matplotlib.ticker import MaxNLocator

from reports import effective, targets
from reports.figures import search as search_figures
from reports.figures.training import (
    BLUE,
    INK,
    MUTED,
    RULE,
    VERMILION,
    Writers,
    figure,
    of_training,
    save_each,
    say,
)
from reports.runs import SearchRun, TrainRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rfcalc import Analysis


def save_figures(run: SearchRun | TrainRun, folder: Path) -> list[Path]:
    """Write every figure of a run into `folder`: the search's or the training's, and its network's.

    Raises:
        ReportError: The folder cannot be written, or the run's weights are not those of its network.
        rfcalc.errors.RfcalcError: The run's model.py cannot be loaded or analysed.
    """
    if isinstance(run, SearchRun):
        written = search_figures.save_all(run, folder)
        best, prefix = run.best, "winner-"
    else:
        written = save_each(of_training(run.record), folder)
        best, prefix = run, ""
    if best is not None and (best.folder / "model.py").is_file():
        written += save_each(_network(targets.resolve(str(best.folder)), prefix), folder)
    return written


def save_network(target: str, size: tuple[int, ...] | None, folder: Path) -> list[Path]:
    """Write the figures of a network into `folder`.

    Raises:
        ReportError: The folder cannot be written.
        rfcalc.errors.RfcalcError: The target cannot be loaded or analysed.
    """
    return save_each(_network(targets.resolve(target, size)), folder)


def save_growth(path: Path, analysis: "Analysis", title: str) -> None:
    """Draw the receptive field of each layer and four sigma of the effective one, the image's side for scale.

    Args:
        path: Where to; written whole.
        analysis: Of the network; layers behind a global operation are left out.
        title: Printed as it is.
    """
    from rfcalc import effective_field
    from rfcalc.analysis.view import lines_of

    lines = [line for line in lines_of(analysis) if line.row.field.size and not line.row.field.is_global]
    sigmas = effective_field(analysis)
    with figure(path, (7.2, 3.8)) as drawn:
        axes = drawn.subplots()
        if not lines:
            say(axes, "no layer sees less than the whole image")
            return
        steps = range(1, len(lines) + 1)
        sizes = [min(line.row.field.size) for line in lines]
        spread = [_four_sigma(sigmas[line.row.index]) for line in lines]
        side = min(analysis.input_size[1:])
        axes.step(steps, sizes, where="mid", color=BLUE, label="receptive field")
        axes.plot(steps, spread, "--", color=VERMILION, label="effective: 4 sigma, closed form")
        axes.axhline(side, color=MUTED, linewidth=1, linestyle=":")
        near: dict[str, Any] = {"xytext": (0, 3), "textcoords": "offset points", "fontsize": 8}
        # At the left, where a network sees least: at the right the curves would run through it.
        axes.annotate(f"image, {side} px", (0.6, side), ha="left", color=MUTED, **near)
        axes.annotate(f"{sizes[-1]:,}", (len(lines), sizes[-1]), ha="right", color=INK, **near)
        _stages(axes, [line.row.name.split(".")[0].split("#")[0] for line in lines])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        axes.set_xlim(0.5, len(lines) + 0.5)
        axes.set_title(title, pad=18)
        axes.set(xlabel="layer, in the order of execution", ylabel="input pixels")
        axes.legend(loc="upper left")


def _four_sigma(sigma: tuple[float | None, ...]) -> float:
    """Four times the smaller sigma; not a number, which leaves a gap, where there is no closed form."""
    known = [each for each in sigma if each is not None]
    return 4 * min(known) if len(known) == len(sigma) else math.nan


def save_effective(path: Path, analysis: "Analysis", title: str, images: int | None = None) -> None:
    """Draw the measured influence of each pixel on the centre unit of the features that the budget judges.

    Args:
        path: Where to; written whole.
        analysis: Of the network, with its weights.
        title: Printed as it is.
        images: Noise images to average over; None: as many as are soon done.
    """
    row = analysis.rows[analysis.field_row or 0]
    found = effective.spread(analysis, [row], images)
    influence = next(iter(found.maps.get(row.index, {}).values()), None)  # the centre unit comes first
    with figure(path, (4.6, 4.2)) as drawn:
        axes = drawn.subplots()
        if influence is None:
            say(axes, f"not measured: {found.why or 'no gradient reaches the image'}")
            return
        axes.grid(False)
        shown = axes.imshow(numpy.sqrt(influence / influence.max()), cmap="cividis", vmin=0, vmax=1)
        label = "square root of the influence, largest = 1"
        drawn.colorbar(shown, ax=axes, fraction=0.046, pad=0.03, label=label).outline.set_visible(False)
        sigma = effective.sigma_of(influence)
        axes.set_title(title)
        words = (
            f"centre unit of {row.name}: sigma {sigma[0]:.1f} x {sigma[1]:.1f} px, n = {found.images} images"
        )
        axes.set(xlabel=f"image column (px)\n{words}", ylabel="image row (px)")


def _stages(axes: "Axes", names: list[str]) -> None:
    """Name each stage above the axes, every second one shaded."""
    across = axes.get_xaxis_transform()
    end = 0.5
    for number, (name, run) in enumerate(groupby(names)):
        start, end = end, end + len(list(run))
        if number % 2 == 0:
            axes.axvspan(start, end, color=RULE, alpha=0.35, zorder=0, linewidth=0)
        if (end - start) * 30 >= len(names):
            middle = ((start + end) / 2, 1)
            near: dict[str, Any] = {
                "xytext": (0, 3),
                "textcoords": "offset points",
                "ha": "center",
                "fontsize": 8,
            }
            axes.annotate(name, middle, xycoords=across, color=MUTED, **near)


def _network(named: targets.Named, prefix: str = "") -> Writers:
    analysis = targets.measure(named, trained=True)
    name = named.record.network if named.record else named.title
    writers: dict[str, Callable[[Path], None]] = {
        f"{prefix}receptive-field": lambda path: save_growth(path, analysis, name)
    }
    if len(analysis.input_size) == 3 and analysis.field_row is not None:
        whose = "trained" if named.weights else "untrained"
        writers[f"{prefix}effective-field"] = lambda path: save_effective(path, analysis, f"{name}, {whose}")
    return writers
