"""Flash in closed form: the constants of the C code, from the spec alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from export.graph import Activation, Convolution, Graph, fuses
from export.lowering import lower
from models.flash import Flash, flash
from models.layers import LayerSpec, StageSpec
from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec
from tests.export.conftest import MIXED, Case, subject_of
from tests.models.conftest import _specs


def counted(graph: Graph) -> Flash:
    """Count what the C code stores of a graph, no two tables being equal."""
    convolutions = [node.op for node in graph.nodes if isinstance(node.op, Convolution)]
    tables = [
        node for node in graph.nodes if isinstance(node.op, Activation) and not fuses(graph, node.inputs[0])
    ]
    channels = sum(len(op.bias) for op in convolutions)
    return Flash.of(sum(op.weight.size for op in convolutions), channels, len(tables))


@pytest.mark.parametrize(("name", "spec"), [("mixed", MIXED), ("residual-mcu", PRESETS["residual-mcu"])])
def test_it_is_what_the_report_counts(name: str, spec: NetSpec, case: Callable[[str], Case]) -> None:
    found = flash(spec)
    assert found is not None
    assert found == counted(case(name).graph)
    sizes = case(name).program.sizes()
    assert {**asdict(found), "tables": 0} == {**sizes, "tables": 0}
    assert sizes["tables"] <= found.tables
    assert found.total == sum(asdict(found).values())


def test_residual_mcu_by_hand() -> None:
    """Each convolution's channels, 17 hard-swishes and three tables for pixels."""
    plain, separable = 16 + 32 + 32 + 52 + 52, (52 + 68) + 3 * (68 + 68) + (68 + 108) + (108 + 108)
    channels = plain + separable + 10
    assert flash(PRESETS["residual-mcu"]) == Flash(97_128, 4 * channels, 5 * channels, 256 * 20)


def test_a_layer_norm_has_no_int8_form() -> None:
    spec = PRESETS["tiny"]
    assert flash(replace(spec, stem=StageSpec((LayerSpec("conv", 12, norm="layer"),)))) is None


@pytest.mark.slow  # torch.export takes a second
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(_specs())
def test_random_networks_have_the_flash_of_their_operators(spec: NetSpec) -> None:
    found = flash(spec)
    norms = {layer.norm for _, stage in spec.parts() for layer in stage.layers} | {spec.output.norm}
    assert (found is None) == ("layer" in norms)
    if found is not None:
        torch.manual_seed(0)
        network = build(spec).eval()
        assert found == counted(lower(subject_of(network, spec.input_size, spec.classes)))
