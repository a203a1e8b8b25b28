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
    "k/s/d": "Kernel / stride / dilation, in pixels of the layer's own input.",
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


def settings(line: "Line") -> str:
    """Return kernel, stride and dilation of a layer: "3/2/1"; "" for an op without a window."""
    window = line.window
    if window is None:
        return ""
    return "/".join(per_axis(values) for values in (window.kernel, window.stride, window.dilation))


def formula(line: "Line", rows: "Sequence[Row]") -> str:
    """Return how the extent comes about, with the layer's own numbers: "53 = 37 + (3 - 1) x 2 x 4".

    The extent of the input, and the taps beyond the first, each a dilation of input steps apart (Araujo,
    Norris and Sim, 2019). "" where the extent has another cause or the axes differ.
    """
    window, field = line.window, line.row.field
    source = max((rows[i] for i in line.row.sources), key=lambda row: row.field.size, default=None)
    before = source.field.size if source else (1,) * len(field.size)
    jumps = source.field.jump if source else (1,) * len(field.size)
    if window is None or field.is_global or any(len(set(axis)) > 1 for axis in (field.size, before, jumps)):
        return ""
    kernel, dilation, jump = window.kernel[0], window.dilation[0], jumps[0]
    if jump is None or field.size[0] != before[0] + (kernel - 1) * dilation * jump:
        return ""
    return f"{field.size[0]} = {before[0]} + ({kernel} - 1) x {dilation} x {decimal(jump)}"
