"""What the explorer explains: columns and flags in a sentence, and the arithmetic of one layer's extent."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rfcalc.text import decimal, per_axis

if TYPE_CHECKING:
    from rfcalc.analysis.result import Row
    from rfcalc.analysis.view import Line

COLUMNS = {
    "layer": "Path of the module; #2 marks its second call.",
    "RF, px": "Receptive field: extent, in input pixels, of what one unit of the output depends on.",
    "sigma, px": "Effective receptive field: standard deviation of the influence, for uniform weights.",
    "jump, px": "Input pixels between the centres of neighbouring units.",
    "op": "What the layer does, with the flags of its field.",
    "k/s/d/g": "Kernel / stride / dilation, in pixels of the layer's own input, and groups where there are "
    "several.",
    "output": "Channels x rows x columns.",
    "params": "Parameters, those of norms behind it included.",
    "MACs": "Multiply-accumulates for one image, in millions.",
}

FLAGS = {
    "holes": "Some pixels within the extent are never seen, as by a dilated kernel.",
    "phase-dependent": "Neighbouring units see extents of different sizes, in turn.",
    "misaligned": "Two joined maps have different centres: one is shifted against the other.",
    "wraps": "Circular padding: units at a border see pixels of the opposite one.",
    "dead outputs": "Some units see no pixel, only the bias.",
    "data-dependent": "What is seen depends on the content of the image.",
    "bounding box": "The exact pixels have no product form; the box around them is given.",
    "upper bound": "At most this; fewer pixels may be seen.",
    "size-dependent": "Start and jump change with the size of the image.",
    "probed": "Found out by running the op, which has no rule.",
    "unknown": "An op without a rule: what it sees is not known.",
}


FACTS = {
    "layer": COLUMNS["layer"],
    "op": "What the layer does.",
    "unit": "The chosen position of the layer's output: row, column.",
    "rows": "First and last row of the image that the unit depends on, cut off at the border.",
    "columns": "First and last column, likewise.",
    "pixels": "How many pixels of the image the unit depends on at this input size; holes are not counted.",
    "pixels, at most": "Pixels of the grid that bounds what the unit depends on.",
    "units": "Positions of the layer's output.",
    "unbounded": "Extent of the receptive field if the image had no border.",
    "sigma, measured": "Standard deviation of the measured influence of the pixels on the centre unit.",
    "closed form": COLUMNS["sigma, px"],
    "window": "What the layer slides over its own input.",
    "reads": "The layer whose output this one takes.",
    "joins": "The maps that come together here; they are marked in the table and in the graph.",
    "read by": "The layers that take this one's output.",
}
"""The facts beside the picture."""
MOST_MAPS = 4
"""Maps of a join that its sum lists one by one."""
JUDGED = "The budget judges the receptive field here: the last features before global pooling."


def settings(line: "Line") -> str:
    """Return kernel, stride, dilation and groups: "3/2/1", "3/1/2/64"; "" for an op without a window."""
    window = line.window
    if window is None:
        return ""
    values = [per_axis(each) for each in (window.kernel, window.stride, window.dilation)]
    return "/".join([*values, *([str(window.groups)] if window.groups > 1 else [])])


def formula(line: "Line", rows: "Sequence[Row]") -> str:
    """Return how the extent comes about, with the layer's own numbers: "53 = 37 + (3 - 1) x 2 x 4".

    The extent of the input, and the taps beyond the first, each a dilation of input steps apart (Araujo,
    Norris and Sim, 2019); of a join, the larger of the two: "39 = max(23, 39)". "" where the extent has
    another cause or the axes differ.
    """
    window, field = line.window, line.row.field
    sources = [rows[index] for index in line.row.sources]
    if field.is_global or any(row.field.is_global for row in sources):
        return ""
    if window is None:
        return _of_join(line.row, sources)
    source = max(sources, key=lambda row: row.field.size, default=None)
    before = source.field.size if source else (1,) * len(field.size)
    jumps = source.field.jump if source else (1,) * len(field.size)
    if any(len(set(axis)) > 1 for axis in (field.size, before, jumps)):
        return ""
    kernel, dilation, jump = window.kernel[0], window.dilation[0], jumps[0]
    if jump is None or field.size[0] != before[0] + (kernel - 1) * dilation * jump:
        return ""
    return f"{field.size[0]} = {before[0]} + ({kernel} - 1) x {dilation} x {decimal(jump)}"


def _of_join(row: "Row", sources: "Sequence[Row]") -> str:
    sizes = [source.field.size for source in sources]
    if len(sizes) < 2 or any(len(set(size)) != 1 for size in (row.field.size, *sizes)):
        return ""
    if row.field.size != max(sizes):
        return ""
    extents = [str(size[0]) for size in sizes]
    if len(extents) > MOST_MAPS:
        extents = [*extents[:2], "...", str(row.field.size[0])]
    return f"{row.field.size[0]} = max({', '.join(extents)})"
