"""The plan of memory: nothing alive is overwritten, and no byte more than needed where that is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from torch import Tensor, nn

from export.c import quantise
from export.c.arena import plan
from export.c.arithmetic import Add, Multiply, Program, Table
from export.lowering import lower
from tests.export.conftest import MEAN, STD, Case, subject_of


def _overwritten(program: Program, places: tuple[int, ...]) -> list[tuple[int, int]]:
    """Replay the steps on an imaginary memory; return (step, value) where a step reads what is gone."""
    memory: dict[int, int] = {}  # byte to the value that wrote it last
    wrong = []

    def write(value: int) -> None:
        start = places[value]
        memory.update(dict.fromkeys(range(start, start + math.prod(program.shape(value))), value))

    write(0)
    for position, step in enumerate(program.steps):
        for value in step.inputs:
            span = range(places[value], places[value] + math.prod(program.shape(value)))
            if any(memory[byte] != value for byte in span):
                wrong.append((position, value))
        if position + 1 < len(program.steps):
            write(position + 1)
    return wrong


@pytest.mark.parametrize("name", ["mixed", "residual-mcu", "transposed", "tiny"])
def test_every_value_is_whole_until_its_last_reader(name: str, case: Callable[[str], Case]) -> None:
    program = case(name).program
    arena = plan(program)
    assert _overwritten(program, arena.places) == []
    ends = [place + math.prod(program.shape(value)) for value, place in enumerate(arena.places)]
    assert arena.least <= max(ends) <= arena.bytes
    assert all(place % 4 == 0 for place in arena.places)


class _Kept(nn.Module):
    """An activation whose input a shortcut reads afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return (x + self.second(nn.functional.silu(x))).mean((2, 3))


def test_an_activation_does_not_replace_what_a_shortcut_still_needs(case: Callable[[str], Case]) -> None:
    subject = subject_of(_Kept().eval(), (3, 13, 18), 4)
    images = case("mixed").images
    program = quantise.quantise("n", subject.classes, lower(subject), images, MEAN, STD)
    arena = plan(program)
    assert _overwritten(program, arena.places) == []
    assert arena.places[1] != arena.places[2]


def test_a_window_never_writes_where_it_reads(case: Callable[[str], Case]) -> None:
    for name in ("mixed", "transposed"):
        program = case(name).program
        places = plan(program).places
        for position, step in enumerate(program.steps[:-1]):
            mine = range(places[position + 1], places[position + 1] + step.bytes)
            for value in step.inputs:
                theirs = range(places[value], places[value] + math.prod(program.shape(value)))
                apart = mine.stop <= theirs.start or theirs.stop <= mine.start
                assert apart or (isinstance(step.op, Table | Add | Multiply) and mine == theirs)


def test_the_arena_of_residual_is_the_least_that_its_shapes_allow(case: Callable[[str], Case]) -> None:
    """26,624 bytes: 13,312 of a map of 52 channels at 16x16, twice (read from its ONNX graph by hand)."""
    arena = plan(case("residual-mcu").program)
    assert (arena.bytes, arena.least) == (26_624, 26_624)
