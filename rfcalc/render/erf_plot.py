"""The measured effective receptive field as a picture, with the theoretical one drawn around it."""

from __future__ import annotations

import io
from math import sqrt
from typing import TYPE_CHECKING, Any

import torch

from rfcalc.errors import UsageError

if TYPE_CHECKING:
    from rfcalc.analysis.result import Row
    from rfcalc.questions.erf import Sigma

_INK, _BOX, _RING = "#222222", "#d1495b", "#00798c"


def spread_of(influence: torch.Tensor) -> tuple[float, ...]:
    """Standard deviation of a map of influence along each axis, in pixels."""
    sigmas = []
    for axis in range(influence.dim()):
        weights = influence.movedim(axis, 0).reshape(influence.shape[axis], -1).sum(1)
        places = torch.arange(len(weights), dtype=weights.dtype)
        mean = (weights * places).sum()
        sigmas.append(sqrt(float((weights * (places - mean) ** 2).sum())))
    return tuple(sigmas)


def draw(influence: torch.Tensor, row: Row, model: str, closed: Sigma) -> bytes:
    """Draw a measured map.

    Args:
        influence: From `rfcalc.questions.erf.measured`, (h, w).
        row: Whose centre unit it is.
        model: Name for the title.
        closed: Sigma of the closed form, for the title.

    Returns:
        The bytes of a PNG.

    Raises:
        UsageError: matplotlib is not installed, or the network has no two spatial axes.
    """
    if influence.dim() != 2:
        raise UsageError(f"--erf-map draws networks with two spatial axes; this one has {influence.dim()}")
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Ellipse, Rectangle
    except ImportError as error:
        raise UsageError("--erf-map needs matplotlib: install the extra, rfcalc[plot]") from error
    figure = Figure(figsize=(6.4, 5.6), dpi=150, layout="constrained")
    axes: Any = figure.add_subplot()
    # The square root lets the eye see the faint rim that a linear scale swallows.
    shown = axes.imshow((influence / influence.max()).sqrt().numpy(), cmap="Greys", vmin=0, vmax=1)
    figure.colorbar(shown, ax=axes, label="square root of the influence, largest = 1")
    seen = row.field.mask(*(n // 2 for n in row.field.positions)).nonzero(as_tuple=True)
    top, left = (int(places.min()) for places in seen)
    height, width = (int(places.max() - places.min()) + 1 for places in seen)
    box = Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=_BOX, linewidth=1.5)
    box.set_label("receptive field, clipped")
    sigma = spread_of(influence)
    centre = [float((influence.sum(1 - k) * torch.arange(influence.shape[k])).sum()) for k in (0, 1)]
    ring = Ellipse(
        (centre[1], centre[0]),
        4 * sigma[1],
        4 * sigma[0],
        fill=False,
        edgecolor=_RING,
        linewidth=1.5,
        linestyle="--",
    )
    ring.set_label("measured, 2 sigma")
    axes.add_patch(box)
    axes.add_patch(ring)
    axes.legend(loc="upper right", fontsize=8, framealpha=0.9)
    axes.set_xlabel("image column")
    axes.set_ylabel("image row")
    title = f"{model}, centre unit of {row.name}\nsigma {_joined(sigma)} px measured"
    axes.set_title(title + f", {_joined(closed)} px in closed form", fontsize=10, color=_INK)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": "rfcalc"})
    return content.getvalue()


def _joined(sigma: Sigma) -> str:
    return " x ".join("-" if value is None else f"{value:.1f}" for value in sigma)
