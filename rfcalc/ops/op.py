"""Op: what rfcalc knows of one op, and the kinds of op that it tells apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch

from rfcalc.ops.call import Call, Rule

__all__ = ["SILENT", "WEIGHTED", "WINDOWED", "Kind", "Macs", "Op", "unused"]

Macs = Callable[[Call], int]
"""The multiply-accumulates that one call executes, for the whole batch."""


class Kind(StrEnum):
    """The family of an op, which reports, counts, structure and gradient oracle go by."""

    CONVOLUTION = "convolution"
    PRODUCT = "product"
    ATTENTION = "attention"
    RECURRENT = "recurrent"
    EMBEDDING = "embedding"
    NORM = "norm"
    ACTIVATION = "activation"
    DROPOUT = "dropout"
    MAX_POOL = "max pool"
    AVERAGE_POOL = "average pool"
    RESAMPLE = "resample"
    UNPOOL = "unpool"
    PAD = "pad"
    SHUFFLE = "shuffle"
    REDUCTION = "reduction"
    EXTREMUM = "extremum"
    SAMPLING = "sampling"
    SPECTRUM = "spectrum"
    BILINEAR = "bilinear"
    COPY = "copy"
    LAYOUT = "layout"
    VIEW = "view"
    MOVEMENT = "movement"
    CONSTANT = "constant"
    OTHER = "other"


SILENT = frozenset({Kind.COPY, Kind.LAYOUT, Kind.VIEW})
"""Bookkeeping: the same elements under another shape or name. No row of a report."""

WINDOWED = frozenset(
    {Kind.CONVOLUTION, Kind.MAX_POOL, Kind.AVERAGE_POOL, Kind.RESAMPLE, Kind.PAD, Kind.SHUFFLE}
)
"""Ops that read a fixed pattern of places around each output: their influence has a closed form."""

WEIGHTED = frozenset({Kind.CONVOLUTION, Kind.PRODUCT, Kind.RECURRENT, Kind.EMBEDDING, Kind.NORM})
"""Layers that own weights: they have a row even where they run on a constant."""


def unused() -> torch.Tensor:
    """Stand for the op of a row that holds parameters which no op uses."""
    return torch.zeros(())


@dataclass(frozen=True)
class Op:
    """One op.

    Attributes:
        rule: What each output element reads; None: found out by running the op ("probed").
        label: What a report calls the op; "" for its name in PyTorch, underscores as spaces.
        kind: Its family.
        macs: Multiply-accumulates of one call; None for an op without any that are worth counting.
    """

    rule: Rule | None = None
    label: str = ""
    kind: Kind = Kind.OTHER
    macs: Macs | None = None
