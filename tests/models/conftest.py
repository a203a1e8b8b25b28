"""Random networks of the grammar, and oracles that know nothing of its closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models.rules import stage_shapes
from models.spec import (
    ACTIVATIONS,
    KINDS,
    NORMS,
    ORDERS,
    OUTPUTS,
    STAGES,
    BranchSpec,
    LayerSpec,
    NetSpec,
    OutputSpec,
    SpecError,
    StageSpec,
)


@st.composite
def _layers(draw: st.DrawFn, channels: int) -> LayerSpec:
    """A layer that reads `channels` channels; it may still not fit its place."""
    kind = draw(st.sampled_from(tuple(KINDS)))
    width = draw(st.integers(1, 12))
    kernel, dilation = draw(st.integers(1, 7)), draw(st.integers(1, 4))
    groups: int | str = 1
    branches: tuple[BranchSpec, ...] = ()
    if kind == "split":
        pairs = st.tuples(st.sampled_from((1, 3, 5, 7)), st.integers(1, 3))
        branches = tuple(BranchSpec(*pair) for pair in draw(st.lists(pairs, min_size=2, max_size=4)))
        kernel, dilation = 3, 1
    elif kind == "conv":
        dilation = 1
    if not KINDS[kind].mixes:
        groups = draw(st.sampled_from((1, 1, 1, 2, 3, "depthwise")))
        width = channels if groups == "depthwise" else width
    return LayerSpec(
        kind=kind,
        width=width,
        kernel=kernel,
        stride=draw(st.sampled_from((1, 1, 1, 2, 3))),
        dilation=dilation,
        padding=draw(st.none() | st.integers(0, 6)) if kind != "split" else None,
        groups=groups,
        branches=branches,
        residual=draw(st.sampled_from((0, 0, 1, 2))),
        gated=draw(st.sampled_from((False, False, True))),
        squeeze_excite=draw(st.sampled_from((0, 0, 2, 4))),
        dropout=draw(st.sampled_from((0.0, 0.25))),
        norm=draw(st.sampled_from(NORMS)),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        order=draw(st.sampled_from(ORDERS)),
    )


@st.composite
def _stages(draw: st.DrawFn, name: str, start: tuple[int, int, int]) -> StageSpec:
    """A valid stage; a drawn layer that does not fit loses its shortcut, then becomes plain."""
    stage, shape = StageSpec(), start
    for _ in range(draw(st.integers(0 if name == "stem" else 1, 3))):
        layer = draw(_layers(shape[0]))
        flat = replace(layer, residual=0)
        plain = LayerSpec("conv", layer.width, 1, norm=layer.norm, order=layer.order)
        for candidate in (layer, flat, plain):
            longer = StageSpec((*stage.layers, candidate))
            try:
                after = stage_shapes(name, longer, start)[-1]
            except SpecError:
                continue
            if max(after[1:]) <= 48:
                stage, shape = longer, after
                break
    return stage


@st.composite
def _specs(draw: st.DrawFn) -> NetSpec:
    shape = input_size = draw(st.tuples(st.integers(1, 4), st.integers(5, 24), st.integers(5, 24)))
    parts = {}
    for name in ("stem", *STAGES):
        parts[name] = draw(_stages(name, shape))
        shape = stage_shapes(name, parts[name], shape)[-1]
    output = OutputSpec(
        kind=draw(st.sampled_from(tuple(OUTPUTS))),
        norm=draw(st.sampled_from(NORMS)),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        dropout=draw(st.sampled_from((0.0, 0.25))),
    )
    return NetSpec("random", **parts, output=output, input_size=input_size, classes=draw(st.integers(1, 5)))


@pytest.fixture(scope="session")
def specs() -> st.SearchStrategy[NetSpec]:
    """Strategy for valid networks of every kind, order and shape, small enough to run."""
    return _specs()


@pytest.fixture(scope="session")
def everything() -> NetSpec:
    """One network that has every kind, option and order of the grammar."""
    branches = (BranchSpec(1), BranchSpec(3), BranchSpec(7, 3))
    return NetSpec(
        "everything",
        stem=StageSpec(
            (LayerSpec("conv", 12, activation="hardswish"), LayerSpec("conv", 12, activation="relu6"))
        ),
        c1=StageSpec((LayerSpec("conv", 12), LayerSpec("conv", 12, groups=2, residual=2))),
        c2=StageSpec(
            (
                LayerSpec("depthwise_separable", 16, stride=2, dropout=0.1),
                LayerSpec(
                    "split", 16, branches=branches, residual=1, gated=True, norm="layer", activation="silu"
                ),
            )
        ),
        c3=StageSpec(
            (
                LayerSpec("transposed", 16, stride=2, groups="depthwise"),
                LayerSpec("dilated", 16, dilation=2, groups="depthwise", residual=1, order="conv-act-norm"),
                LayerSpec("transposed", 16, dilation=3, norm="none", activation="gelu"),
                LayerSpec("conv", 20, 4, stride=2, padding=1),
            )
        ),
        c4=StageSpec(
            (
                LayerSpec("conv", 20, order="norm-act-conv", gated=True, squeeze_excite=4),
                LayerSpec("depthwise_separable", 20, 5, order="norm-act-conv", residual=1, dilation=2),
            )
        ),
        output=OutputSpec("gap-linear", norm="batch", activation="relu", dropout=0.2),
    )


class _Memory(TorchDispatchMode):
    """Remembers which storages each op of a run reads and writes."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[tuple[set[int], set[int]]] = []
        self.kept: list[Any] = []  # storages stay alive, so that their addresses stay theirs
        self.bytes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        reads = {self._note(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        writes = {self._note(leaf) for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)}
        self.ops.append((reads, writes))
        return out

    def _note(self, tensor: torch.Tensor) -> int:
        storage = tensor.untyped_storage()
        self.kept.append(storage)
        self.bytes[storage._cdata] = storage.nbytes()
        return storage._cdata


def _peak_bytes(model: nn.Module, image: torch.Tensor) -> int:
    """Largest sum of storages alive at one op: each from its first writer to its last reader.

    What nothing reads, such as a norm's statistics, is left out.
    """
    weights = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}
    with torch.no_grad(), _Memory() as memory:
        model(image)
    born: dict[int, int] = {image.untyped_storage()._cdata: 0}
    dies: dict[int, int] = {}
    for step, (reads, writes) in enumerate(memory.ops):
        for storage in (reads | writes) - weights:
            born.setdefault(storage, step)
            dies[storage] = step
    read = set().union(*(reads for reads, _ in memory.ops), memory.ops[-1][1])
    return max(
        sum(memory.bytes[s] for s in dies if s in read and born[s] <= step <= dies[s])
        for step in range(len(memory.ops))
    )


@pytest.fixture(scope="session")
def peak_bytes() -> Callable[[nn.Module, torch.Tensor], int]:
    """Activation memory of one forward, from the storages that its ops read and write."""
    return _peak_bytes
