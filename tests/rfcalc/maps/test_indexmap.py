"""Index maps against brute force over integers: no torch in here."""

import itertools
from fractions import Fraction
from itertools import pairwise
from math import gcd

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfcalc.maps import geometry
from rfcalc.maps.indexmap import Extent, IndexMap, Periodic, Reads, covers, union_of_planes

FAR = 24


def plane_set(plane, index):
    low, bits = plane.at(index)
    return {low + i for i in range(bits.bit_length()) if bits >> i & 1}


def brute(plane, period, shift, taps, index):
    turn, phase = divmod(index, period)
    return set().union(*(plane_set(plane, turn * shift + tap) for tap in taps[phase]), set())


taps = st.lists(st.integers(-4, 6), min_size=0, max_size=4).map(tuple)
ops = st.integers(1, 4).flatmap(
    lambda period: st.tuples(st.just(period), st.integers(-3, 4), st.tuples(*[taps] * period))
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ops, min_size=1, max_size=4))
def test_composed_planes_equal_the_union_of_what_their_taps_see(program):
    plane = Periodic.identity()
    for op in program:
        after = plane.after(*op)
        assert all(plane_set(after, o) == brute(plane, *op, o) for o in range(-FAR, FAR))
        plane = after


@settings(max_examples=40, deadline=None)
@given(st.lists(ops, min_size=1, max_size=3), st.lists(ops, min_size=1, max_size=3))
def test_the_union_of_planes_is_the_union_of_their_sets(first, second):
    planes = []
    for program in (first, second):
        plane = Periodic.identity()
        for op in program:
            plane = plane.after(*op)
        planes.append(plane)
    union = union_of_planes(planes)
    if union is None:
        assert planes[0].jump != planes[1].jump
        return
    for o in range(-FAR, FAR):
        assert plane_set(union, o) == plane_set(planes[0], o) | plane_set(planes[1], o)
    assert covers(union, planes[0])
    assert covers(union, planes[1])
    assert covers(planes[0], planes[1]) == all(
        plane_set(planes[1], o) <= plane_set(planes[0], o) for o in range(FAR)
    )


def test_a_map_is_stored_with_its_smallest_period():
    up = Periodic.identity().after(2, 1, ((0,), (0,)))
    assert up.jump == Fraction(1, 2)
    back = up.after(1, 2, ((0, 1),))
    assert back == Periodic.identity()


def law(layers):
    """Return whether a chain of (kernel, stride, dilation) has no holes: the complete-sequence criterion."""
    spacings, jump = [], 1
    for kernel, stride, dilation in layers:
        if kernel > 1:
            spacings.append((dilation * jump, kernel))
        jump *= stride
    reach = 0
    for spacing, kernel in sorted(spacings):
        if spacing > 1 + reach:
            return False
        reach += (kernel - 1) * spacing
    return True


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2, 3, 5, 7]), st.integers(1, 3), st.integers(1, 5)),
        min_size=1,
        max_size=5,
    )
)
def test_holes_of_a_chain_follow_the_law_of_complete_sequences(layers):
    plane, size, jump = Periodic.identity(), 1, 1
    for kernel, stride, dilation in layers:
        plane = plane.after(1, stride, (tuple(dilation * t for t in range(kernel)),))
        size += dilation * (kernel - 1) * jump
        jump *= stride
    assert plane.extent.size == size
    assert plane.jump == jump
    assert plane.has_holes == (not law(layers))
    assert (plane.extent.pixels < size) == plane.has_holes


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), list(itertools.product(range(1, 7), range(1, 5), range(1, 5)))
)
def test_a_transposed_convolution_reaches_its_closed_form_extent(kernel, stride, dilation):
    padding, n = 1, 9
    n_out = (n - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1
    assert n_out > 0
    reads = geometry.transposed(n, n_out, kernel, stride, padding, dilation)
    written = [set() for _ in range(n_out)]
    for i in range(n):
        for t in range(kernel):
            o = i * stride - padding + dilation * t
            if 0 <= o < n_out:
                written[o].add(i)
    assert [set(s) for s in reads.sources] == written
    common = gcd(stride, dilation)
    extent = (-(-kernel * common // stride) - 1) * dilation // common + 1
    assert Periodic.identity().after(reads.period, reads.shift, reads.taps).extent.size == extent


def test_clipping_is_done_layer_by_layer():
    crop = IndexMap.identity(16).through(geometry.pad(16, -2, 0, "constant"))
    seen = crop.through(geometry.window(14, 14, 3, 1, 1, 1)).seen
    assert seen[0] == 0b1100  # {2, 3}: the padded zero depends on nothing, not on pixel 1


def test_padding_modes_read_what_pytorch_documents():
    def read(mode):
        return [s[0] if s else None for s in geometry.pad(4, 2, 2, mode).sources]

    assert read("reflect") == [2, 1, 0, 1, 2, 3, 2, 1]
    assert read("replicate") == [0, 0, 0, 1, 2, 3, 3, 3]
    assert read("circular") == [2, 3, 0, 1, 2, 3, 0, 1]
    assert read("constant") == [None, None, 0, 1, 2, 3, None, None]
    assert geometry.pad(4, 2, 2, "circular").flags == {"wraps"}


def test_a_mapped_dimension_may_be_one_of_several():
    grid = IndexMap.identity(6).reshaped((2, 3))
    block = grid.reduced((1,))
    assert block.seen == (0b000111, 0b111000)
    assert block.plane.jump == 3
    flipped = grid.through(Reads.gather(3, (2, 1, 0)), 1)
    assert flipped.seen == tuple(1 << i for i in (2, 1, 0, 5, 4, 3))
    assert [plane_set(flipped.plane, o) for o in range(6)] == [{2}, {1}, {0}, {5}, {4}, {3}]
    assert grid.reduced((0,)).plane == Extent(1, 1, 1, is_global=True)


def test_spreading_repeats_along_new_dimensions_only():
    one = IndexMap.identity(2)
    assert one.spread((2, 3), (0,)).seen == (1, 1, 1, 2, 2, 2)
    assert one.spread((3, 2), (1,)).seen == (1, 2, 1, 2, 1, 2)
    square = IndexMap.identity(4).reshaped((2, 2))
    assert square.spread((2, 2), (1, 0)).seen == (1, 4, 2, 8)


def test_a_gather_that_is_a_progression_keeps_its_form_on_the_plane():
    every_other = Reads.gather(9, range(0, 9, 2))
    assert every_other.shift == 2
    reverse = Reads.gather(4, (3, 2, 1, 0))
    assert (reverse.shift, reverse.flags) == (-1, frozenset())
    assert Reads.gather(4, (0, 3, 1)).taps is None


@pytest.mark.parametrize(("n_in", "n_out"), [(7, 3), (3, 7), (8, 4), (5, 5), (10, 4)])
def test_adaptive_windows_tile_the_axis(n_in, n_out):
    sources = geometry.adaptive_pool(n_in, n_out).sources
    assert sources[0][0] == 0
    assert sources[-1][-1] == n_in - 1
    assert all(b[0] <= a[-1] + 1 for a, b in pairwise(sources))
