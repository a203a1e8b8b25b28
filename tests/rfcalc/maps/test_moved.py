import pytest

from rfcalc.maps.indexmap import IndexMap
from rfcalc.maps.moved import NOWHERE, affine_reads
from rfcalc.maps.plane import Extent, Periodic
from rfcalc.maps.reads import Reads


@pytest.mark.parametrize(
    ("shape", "sources", "n", "dims", "period", "shift", "taps"),
    [
        ((2, 3), (0, 0, 0, 1, 1, 1), 2, (0,), 1, 1, ((0,),)),
        ((2, 3), (0, 1, 2, 0, 1, 2), 3, (1,), 1, 1, ((0,),)),
        ((2, 3), (0, 2, 4, 1, 3, 5), 6, (1, 0), 2, 2, ((0,), (1,))),
        ((2, 3), (0, 1, 2, 2, 3, 4), 5, (0, 1), 3, 2, ((0,), (1,), (2,))),
        ((4,), (3, 2, 1, 0), 4, (0,), 1, -1, ((3,),)),
        ((4,), (NOWHERE, 0, 1, NOWHERE), 2, (0,), 1, 1, ((-1,),)),
        ((2, 2), (3, 3, 3, 3), 4, (), 1, 0, ((3,),)),
        ((), (3,), 4, (), 1, 0, ((3,),)),
    ],
    ids=[
        "rows",
        "columns",
        "other order",
        "overlapping windows",
        "reversed",
        "padding",
        "one place",
        "no dimension",
    ],
)
def test_a_regular_movement_is_found(shape, sources, n, dims, period, shift, taps):
    found = affine_reads(shape, sources, n)
    assert found is not None
    assert found[0] == dims
    assert (found[1].period, found[1].shift, found[1].taps) == (period, shift, taps)


@pytest.mark.parametrize(
    "sources",
    [(0, 1, 3, 2), (0, NOWHERE, 2, 3), (0, 0, 1, 1), (NOWHERE,) * 4],
    ids=["sorted", "a hole", "repeated", "nothing"],
)
def test_an_irregular_movement_is_none(sources):
    assert affine_reads((4,), sources, 4) is None


def test_a_class_token_that_is_cut_off_again_leaves_the_very_same_map():
    rows = IndexMap.identity(4)
    tokens = rows.spread((4, 5), (0,)).reshaped((20,))
    joined = tokens.through(Reads.gather(20, range(-1, 20)))
    assert joined.regular is None
    back = joined.through(Reads.gather(21, range(1, 21))).reshaped((4, 5))
    assert back.regular == ((0,), rows)
    assert back.regular[1] is rows


def test_one_of_several_stacked_maps_keeps_its_periodic_form_when_they_are_summed():
    rows = IndexMap.identity(3)
    stacked = rows.spread((3, 2), (0,)).kept((False, True) * 3)
    summed = stacked.reduced((1,), branches=True)
    assert summed.regular is not None
    assert isinstance(summed.regular[1].plane, Periodic)
    assert summed.seen == rows.seen


def test_pieces_of_a_concatenation_are_not_merged():
    rows = IndexMap.identity(4)
    first = rows.through(Reads(4, tuple((i,) if i < 4 else () for i in range(8))))
    second = rows.through(Reads(4, tuple((i - 4,) if i >= 4 else () for i in range(8))))
    assert first.union(second) is None
    assert first.union(second, forced=True) is not None


def test_the_union_of_maps_without_a_periodic_form_is_as_wide_as_what_it_sees():
    one, two = (IndexMap((7 << shift,), (1,), Extent(3, 3, 3)) for shift in (0, 3))
    union = one.union(two)
    assert union is not None
    assert union.plane == Extent(6, 3, 6)
