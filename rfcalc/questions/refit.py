"""Layers fitted anew to what they are given, after a layer before them has got another width."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from rfcalc.trace.inputs import Input
from rfcalc.trace.trace import trace

__all__ = ["refit", "resized"]


def refit(model: nn.Module, given: tuple[Input, ...]) -> None:
    """Trace a network of shapes alone, and fit every layer to the channels that reach it.

    Args:
        model: On the device "meta"; changed in place.
        given: What its forward is called with.

    Raises:
        ForwardError: Two operands do not fit together: a sum of maps of different widths, say.
    """
    fitted: list[tuple[nn.Module, int]] = []

    def fit(module: nn.Module, args: tuple[Any, ...]) -> None:
        channels = _channels(module, args)
        if channels is not None:
            _fit(module, channels)
            fitted.append((module, channels))

    hooks = [module.register_forward_pre_hook(fit) for module in model.modules()]
    try:
        trace(model, given)
    finally:
        for hook in hooks:
            hook.remove()
    # Tracing leaves a model as it was found, so that what was changed meanwhile is gone.
    for module, channels in fitted:
        _fit(module, channels)


def _channels(module: nn.Module, args: tuple[Any, ...]) -> int | None:
    """Return the channels that reach a layer; None where it was made for so many, or does not count them."""
    if not args or not isinstance(args[0], torch.Tensor) or args[0].dim() < 2:
        return None
    axis = -1 if isinstance(module, nn.Linear) else 1
    made_for = next((getattr(module, name) for kind, name in _WIDTHS if isinstance(module, kind)), None)
    return None if made_for in (None, args[0].shape[axis]) else args[0].shape[axis]


_WIDTHS: tuple[tuple[type[nn.Module], str], ...] = (
    (_ConvNd, "in_channels"),
    (_BatchNorm, "num_features"),
    (nn.GroupNorm, "num_channels"),
    (nn.Linear, "in_features"),
)
"""Layers that count the channels they get, and the attribute that says how many."""


def _fit(module: nn.Module, channels: int) -> None:
    if isinstance(module, _ConvNd):
        resized(module, in_channels=channels)
    elif isinstance(module, nn.Linear):
        module.in_features = channels
        _renew(module, "weight", (module.out_features, channels))
    else:
        setattr(module, next(name for kind, name in _WIDTHS if isinstance(module, kind)), channels)
        for name in ("weight", "bias"):
            _renew(module, name, (channels,))
        for name in ("running_mean", "running_var"):
            if getattr(module, name, None) is not None:
                setattr(module, name, torch.empty((channels,), device="meta"))


def resized(module: nn.Module, in_channels: int | None = None, out_channels: int | None = None) -> None:
    """Give a convolution other numbers of channels; a depthwise one keeps its filters for each channel.

    Raises:
        ValueError: Its groups do not divide them.
    """
    assert isinstance(module, _ConvNd)
    before = module.in_channels
    inner, outer = in_channels or before, out_channels or module.out_channels
    if module.groups == before > 1:
        outer = inner * (module.out_channels // before)
        module.groups = inner
    if inner % module.groups or outer % module.groups:
        raise ValueError(f"{module.groups} groups do not divide {inner} and {outer} channels")
    module.in_channels, module.out_channels = inner, outer
    first, second = (inner, outer) if module.transposed else (outer, inner)
    _renew(module, "weight", (first, second // module.groups, *module.kernel_size))
    _renew(module, "bias", (outer,))


def _renew(module: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    old = getattr(module, name)
    if old is not None:
        new = torch.empty(shape, device="meta")
        setattr(module, name, nn.Parameter(new, requires_grad=old.requires_grad))
