import random
from dataclasses import replace

import pytest

from models.arithmetic import figures
from models.errors import SpecError
from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec
from search.errors import SearchError
from search.propose.children import Parent, breed
from search.propose.gate import Gate
from search.propose.limits import limited, project_budget
from search.propose.moves import MOVES, crossed
from search.propose.ranker import PENALTY, Ranker, counts, kendall_tau
from search.propose.space import fingerprint
from search.propose.starts import starts

SIZE = (3, 32, 32)
BUDGET = limited(project_budget(), 20_000_000)
PARENTS = [Parent(n, name, PRESETS[name]) for n, name in enumerate(("residual", "tiny", "transposed"))]


@pytest.mark.parametrize("name", MOVES)
def test_every_move_changes_a_network_into_another_that_can_be_built(name: str) -> None:
    rng, made = random.Random(0), 0
    for _ in range(60):
        spec = PRESETS[rng.choice(list(PRESETS))]
        try:
            words, moved = MOVES[name](spec, rng)
        except SpecError:
            continue
        made += 1
        assert words
        assert moved != spec
        assert NetSpec.from_json(moved.to_json()) == moved
        if made <= 3:
            assert sum(p.numel() for p in build(moved).parameters()) == figures(moved).params
    assert made >= 5


def test_a_stage_can_be_taken_over_from_another_network() -> None:
    words, made = crossed(PRESETS["residual"], PRESETS["tiny"], "tiny", random.Random(1))
    name = words.split()[0]
    assert words == f"{name} of tiny"
    assert [each.kind for each in getattr(made, name).layers] == [
        each.kind for each in getattr(PRESETS["tiny"], name).layers
    ]


def test_children_are_different_networks_within_the_budget() -> None:
    gate = Gate(BUDGET, SIZE)
    children = breed(PARENTS, gate, 99_999, {fingerprint(PRESETS["tiny"])}, random.Random(0), 60)
    assert len({fingerprint(child.spec) for child in children}) == 60
    assert fingerprint(PRESETS["tiny"]) not in {fingerprint(child.spec) for child in children}
    assert {child.parent for child in children} == {0, 1, 2}
    steps = [len(child.moves) for child in children]
    assert 0.3 < steps.count(1) / 60 < 0.8
    for child in children[:6]:
        assert not gate.admission(child.spec).broken
    again = breed(PARENTS, Gate(BUDGET, SIZE), 99_999, (), random.Random(0), 60)
    assert [child.spec for child in again] == [child.spec for child in children]


def test_a_ranker_learns_what_counts_say() -> None:
    children = breed(PARENTS, Gate(BUDGET, SIZE), 99_999, (), random.Random(3), 80)
    specs = [child.spec for child in children]
    losses = [0.1 * counts(spec)[0] for spec in specs]  # the number of layers
    ranker = Ranker.learnt(specs[:50], losses[:50], seed=0)
    predicted, spread = ranker.predict(specs[50:])
    assert (kendall_tau(list(predicted), losses[50:]) or 0) > 0.7
    assert (spread > 0).any()
    assert PENALTY > 0
    assert len(counts(specs[0])) == 20


def test_a_search_starts_from_the_presets_with_the_best_known_first() -> None:
    found, notice = starts(
        {name: PRESETS[name] for name in ("tiny", "residual")}, Gate(BUDGET, SIZE), 7, 99_999
    )
    assert [name for name, _ in found] == ["residual", "tiny"]
    assert {spec.classes for _, spec in found} == {7}
    assert notice is None


@pytest.mark.parametrize(
    "limit", [{"max_params": 20_000}, {"max_macs": 3_000_000}, {"min_receptive_field": 120}]
)
def test_where_no_preset_fits_the_nearest_network_that_does_is_the_start(limit: dict[str, int]) -> None:
    budget = replace(BUDGET, **limit)
    gate = Gate(budget, SIZE)
    ((name, spec),), notice = starts({}, gate, 10, budget.max_params)
    assert name is None
    assert not gate.admission(spec).broken
    assert notice is not None
    (missed,) = limit
    assert f"misses {missed} by" in notice


def test_where_nothing_near_fits_the_limits_are_named_with_their_distance() -> None:
    with pytest.raises(SearchError, match=r"nor does any near network: residual misses max_params by 99,"):
        starts({}, Gate(replace(BUDGET, max_params=100), SIZE), 10, 100)


def test_a_limit_that_no_closed_form_knows_is_named_too() -> None:
    with pytest.raises(SearchError, match=r"near network: residual breaks stages; tiny breaks stages;"):
        starts({}, Gate(replace(BUDGET, stages=9), SIZE), 10, 99_999)
