"""Closed forms against the built network: torch counts the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.arithmetic import figures
from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec

EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def macs_of(model: nn.Module, image: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    return counter.get_total_flops() // 2


def check(spec: NetSpec, peak_bytes: Callable[[nn.Module, torch.Tensor], int]) -> None:
    model, facts = build(spec).eval(), figures(spec)
    image = torch.zeros(1, *spec.input_size)
    assert facts.params == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert facts.macs == macs_of(model, image)
    assert facts.peak_activation_bytes == peak_bytes(model, image)


@pytest.mark.parametrize("name", PRESETS)
def test_figures_of_presets_are_those_of_the_built_network(name, peak_bytes):
    check(PRESETS[name], peak_bytes)


def test_figures_of_every_kind_and_option_are_those_of_the_built_network(everything, peak_bytes):
    check(everything, peak_bytes)


@EXAMPLES
@given(data=st.data())
def test_figures_of_random_networks_are_those_of_the_built_network(data, specs, peak_bytes):
    check(data.draw(specs), peak_bytes)
