"""The whole grammar as a space: what values stand for."""

import random

import pytest

import rfcalc
from models.arithmetic import figures
from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec, SpecError, stage_widths
from search.propose.limits import project_budget
from search.propose.space import STEP, Values, fingerprint
from search.propose.space_full import FULL_CHOICES, FullSpace

LIMIT = 99_999
SPACE = FullSpace((3, 32, 32), 10, LIMIT)


def _drawn(space: FullSpace, count: int, seed: int = 0) -> list[tuple[Values, NetSpec | str]]:
    rng = random.Random(seed)
    found: list[tuple[Values, NetSpec | str]] = []
    for _ in range(count):
        values = space.draw(rng)
        try:
            found.append((values, space.spec(values)))
        except SpecError as error:
            found.append((values, str(error)))
    return found


def test_proposals_are_filled_up_to_the_parameter_limit() -> None:
    specs = [spec for _, spec in _drawn(SPACE, 60) if isinstance(spec, NetSpec)]
    assert len(specs) > 30
    for spec in specs:
        assert figures(spec).params <= LIMIT
        assert all(width % STEP == 0 for width in stage_widths(spec))
    used = sorted(figures(spec).params for spec in specs)
    assert used[len(used) // 10] > 0.95 * LIMIT


def test_invalid_combinations_are_spec_errors_with_their_reason() -> None:
    reasons = {spec for _, spec in _drawn(SPACE, 60) if isinstance(spec, str)}
    assert reasons
    for reason in reasons:
        assert "a stage does not halve the map and double it" in reason or "larger than the image" in reason


def test_a_transposed_layer_needs_a_stride_before_it() -> None:
    values = SPACE.anchors()["near transposed"]
    with pytest.raises(SpecError, match="c3: a transposed layer would make the map larger than the image"):
        SPACE.spec({**values, "transposed": "c3", "strides": "c4"})


@pytest.mark.parametrize(
    ("dimension", "value"),
    [(name, value) for name in FULL_CHOICES if name != "c1_width" for value in FULL_CHOICES[name]],
)
def test_every_value_of_every_dimension_has_a_network(dimension: str, value: object) -> None:
    rng = random.Random(1)
    for _ in range(40):
        values = {**SPACE.draw(rng), dimension: value}
        try:
            assert isinstance(SPACE.spec(values), NetSpec)  # type: ignore[arg-type]
        except SpecError:
            continue
        return
    pytest.fail(f"no network has {dimension}={value!r}")


@pytest.mark.parametrize("dimension", [name for name in FULL_CHOICES if name != "c1_width"])
def test_every_dimension_changes_the_network(dimension: str) -> None:
    rng = random.Random(2)
    for _ in range(60):
        values = SPACE.draw(rng)
        marks = set()
        for value in SPACE.choices[dimension]:
            try:
                marks.add(fingerprint(SPACE.spec({**values, dimension: value})))
            except SpecError:
                continue
        if len(marks) > 1:
            return
    pytest.fail(f"{dimension} never makes a difference")


def test_the_preset_tiny_is_in_the_space_as_it_is() -> None:
    spec, preset = SPACE.spec(SPACE.anchors()["tiny"]), PRESETS["tiny"]
    for (_, mine), (_, theirs) in zip(spec.parts(), preset.parts(), strict=True):
        assert [layer.kind for layer in mine.layers] == [layer.kind for layer in theirs.layers]
        for one, other in zip(mine.layers, theirs.layers, strict=True):
            assert (one.stride, one.dilation, one.residual) == (other.stride, other.dilation, other.residual)


def test_every_anchor_fits_the_budget() -> None:
    budget = project_budget()
    for name, values in SPACE.anchors().items():
        analysis = rfcalc.analyze(build(SPACE.spec(values)), input_size=(3, 32, 32))
        assert rfcalc.judge(analysis, budget).ok, name


def test_without_filling_the_width_of_c1_is_a_dimension() -> None:
    space = FullSpace((3, 32, 32), 10, None)
    values = dict(space.anchors()["tiny"])
    assert values["c1_width"] == 24
    assert stage_widths(space.spec({**values, "c1_width": 8})) == (8, 16, 16, 32)


def test_a_narrowed_space_has_the_anchors_that_are_left() -> None:
    space = FullSpace((3, 32, 32), 10, LIMIT, {"gate": ("gated",)})
    assert list(space.anchors()) == ["near wide"]
    assert space.choices["gate"] == ("gated",)
    assert all(space.draw(random.Random(n))["gate"] == "gated" for n in range(5))


def test_optuna_gets_numbers_as_numbers_and_the_rest_as_categories() -> None:
    for name, distribution in SPACE.distributions.items():
        for value in SPACE.choices[name]:
            assert distribution.to_external_repr(distribution.to_internal_repr(value)) == value
    kinds = {name: type(distribution).__name__ for name, distribution in SPACE.distributions.items()}
    assert kinds["stem_width"] == "IntDistribution"
    assert kinds["c2_growth"] == "FloatDistribution"
    assert kinds["c1_kind"] == "CategoricalDistribution"
