"""`build`: a spec as a plain `nn.Module`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from . import blocks
from .calls import net_calls
from .spec import NetSpec
from .units import Call


class Network(nn.Module):
    """A network of the grammar: `stem` (often empty), `c1` to `c4` and `output`."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to class scores (N, classes)."""
        for part in self.children():
            x = part(x)
        return x


def build(spec: NetSpec) -> Network:
    """Construct the network of a spec, with fresh weights (none under `torch.device("meta")`).

    Args:
        spec: A valid spec; creating one checks it.

    Returns:
        A module with the children `stem`, `c1`, `c2`, `c3`, `c4` and `output`, which maps
        (N, C, H, W) to (N, classes).
    """
    network = Network(**{name: _construct(call) for name, call in net_calls(spec).items()})
    blocks.initialise(network)
    return network


def _construct(call: Call) -> Any:
    args = [_construct(arg) if isinstance(arg, Call) else arg for arg in call.args]
    kwargs = {key: _construct(arg) if isinstance(arg, Call) else arg for key, arg in call.kwargs.items()}
    namespace, _, name = call.name.rpartition(".")
    return getattr(nn if namespace == "nn" else blocks, name)(*args, **kwargs)
