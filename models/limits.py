"""The largest values of the grammar. docs/grammar.md lists them.

A spec may come from a stranger's file, and only the checks keep its numbers from the kernels of torch, some
of which end in a segmentation fault instead of an error (a stride of 2,000,000 does).
Each bound is far above what a network that fits a microcontroller or a benchmark uses.
"""

from __future__ import annotations

MAX_WIDTH = 4_096
"""Output channels of a layer."""

MAX_KERNEL = 7

MAX_STRIDE = 64

MAX_DILATION = 256
"""Step between taps; padding is bounded with it, to dilation * (kernel - 1)."""

MAX_CLASSES = 65_536

MAX_CHANNELS = 4_096
"""Channels of an image."""

MAX_SIDE = 4_096
"""Height or width of an image, in pixels."""

MAX_LAYERS = 100
"""Layers of a stage."""

MAX_UPSAMPLINGS = 12
"""Transposed layers of stride 2 in a network: each may double the phases of the receptive field."""

MAX_MAP = 2**28
"""Elements of one map of one image: 1 GiB as float32."""
