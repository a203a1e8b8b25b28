"""Closed forms against rfcalc, which traces the built network and follows exact index sets."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rfcalc
from models.arithmetic import figures
from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec

EXAMPLES = int(os.environ.get("RANDOM_SPECS", "40"))
"""How many random networks to compare; RANDOM_SPECS=1000 before a release."""


def check(spec: NetSpec) -> None:
    analysis, facts = rfcalc.analyze(build(spec), input_size=spec.input_size), figures(spec)
    field, structure = analysis.field, analysis.structure
    assert (facts.params, facts.macs) == (analysis.params, analysis.macs)
    assert facts.params == analysis.trainable_params
    assert (facts.receptive_field, facts.jump, facts.start) == (field.size, field.jump, field.start)
    assert facts.peak_activation_bytes == analysis.peak_activation_bytes
    assert facts.depthwise_separable == len(structure.depthwise_separable)
    assert facts.dilated == len(structure.dilated)
    assert structure.global_average_pools
    assert not structure.max_pools
    assert structure.stages == ("c1", "c2", "c3", "c4")


@pytest.mark.parametrize("name", PRESETS)
def test_figures_of_presets_are_those_of_rfcalc(name):
    check(PRESETS[name])


def test_figures_of_every_kind_and_option_are_those_of_rfcalc(everything):
    check(everything)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_figures_of_random_networks_are_those_of_rfcalc(data, specs):
    check(data.draw(specs))
