"""The kinds of layer of the grammar: one class a kind, one line a kind here.

Everything else (the rules, the figures, `build`, the printed source) asks `KINDS[layer.kind]`. A new kind is
a class in a file of this folder and its line below; docs/extending.md shows one.
"""

from __future__ import annotations

from .convolution import Convolution, Dilated
from .depthwise_separable import DepthwiseSeparable
from .kind import Kind
from .split import Split
from .transposed import Transposed

__all__ = ["KINDS", "Kind"]

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (Convolution(), DepthwiseSeparable(), Dilated(), Transposed(), Split())
}
"""The kinds by name, in the order in which errors list them."""
