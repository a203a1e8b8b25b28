"""Branches by value: found, reported, and the same for all weights."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import rfcalc
from rfcalc.errors import ForwardError
from rfcalc.render.report import branch_sentences
from rfcalc.trace.choices import MAX_RUNS

Test = Callable[[torch.Tensor], object]


class Branching(nn.Module):
    def __init__(self, test: Test) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.gate = nn.Parameter(torch.randn(()))
        self.test = test

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.a(x)
        if self.test(y):
            y = self.b(y)
        return y


TESTS: dict[str, Test] = {
    "mean": lambda y: y.mean() > 0,
    "number": lambda y: y.mean().item() > 0.1,
    "equal": lambda y: torch.equal(y, torch.zeros_like(y)),
    "close": lambda y: torch.allclose(y, torch.zeros_like(y)),
    "place of the maximum": lambda y: int(y.flatten().argmax()) == 0,
    "chance": lambda y: torch.rand(()) < 0.5,
}


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_both_sides_of_a_branch_are_found_whatever_the_weights(test: Test, seed: int) -> None:
    torch.manual_seed(seed)
    analysis = rfcalc.analyze(Branching(test))
    assert analysis.field.size == (5, 5)
    assert analysis.macs == 32 * 32 * 8 * 9 * (3 + 8)
    assert "data-dependent" in analysis.field.flags
    assert [other.field.size for other in analysis.others] == [(3, 3)]
    assert analysis.graph.asks[0].place.startswith("test_choices.py:")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_branch_on_a_weight_is_one_too(seed: int) -> None:
    torch.manual_seed(seed)
    model = Branching(lambda y: False)
    model.test = lambda y: model.gate > 0
    assert [run.field.size for run in rfcalc.analyze(model).others] == [(3, 3)]


def test_a_check_that_raises_is_no_branch() -> None:
    def checked(y: torch.Tensor) -> bool:
        if y.isnan().any():
            raise ValueError("not a number")
        return True

    analysis = rfcalc.analyze(Branching(checked))
    assert analysis.others == ()
    assert analysis.field.flags == frozenset()


def test_nested_exits_are_all_found() -> None:
    class Exits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(nn.Conv2d(3, 3, 3) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for part in self.parts:
                x = part(x)
                if x.max() > 0.5:
                    break
            return x

    analysis = rfcalc.analyze(Exits())
    sizes = [analysis.field.size[0], *(other.field.size[0] for other in analysis.others)]
    assert sizes == [7, 5, 3]


def test_a_forward_with_many_branches_says_that_some_were_not_followed() -> None:
    def many(y: torch.Tensor) -> bool:
        return [bool(y[0, 0, 0, i] > 0) for i in range(MAX_RUNS)][-1]

    assert rfcalc.analyze(Branching(many)).graph.unexplored


def test_chance_is_left_as_it_was() -> None:
    class Chance(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * random.random() * torch.rand(())

    random.seed(1)
    torch.manual_seed(1)
    before = random.getstate(), torch.get_rng_state()
    rfcalc.analyze(Chance())
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_a_packed_sequence_is_analysed() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.LSTM(8, 16, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x.transpose(1, 2), [12], batch_first=True)
            out: torch.Tensor = nn.utils.rnn.pad_packed_sequence(self.cells(packed)[0], batch_first=True)[0]
            return out

    # nn.LSTM asks for the batch size; a wrong answer ends the process in a kernel that trusts it.
    analysis = rfcalc.analyze(Packed(), input_size=(8, 12))
    assert analysis.params == 1664
    assert analysis.others == ()


def test_a_loop_that_another_answer_makes_endless_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            t, end = 0, x.max().item()
            while t < end:
                x = self.c(x)
                t += 1
            return x

    monkeypatch.setattr("rfcalc.trace.choices.SECONDS", 0.2)
    analysis = rfcalc.analyze(Steps())
    assert analysis.field.size == (3, 3)
    assert analysis.graph.unexplored


def test_a_number_may_have_other_values_than_those_tried() -> None:
    class Chooses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ways = nn.ModuleList(nn.Conv2d(3, 4, k, padding=k // 2) for k in (1, 3, 5, 7))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.ways[int(x.mean((0, 2, 3)).argmax())](x)
            return out

    assert rfcalc.analyze(Chooses()).graph.unexplored


@pytest.mark.parametrize(
    ("way", "is_sized"),
    [
        (lambda y: y[y[:, 0] > 0], True),
        (lambda y: y[torch.nonzero(y[:, 0])[:, 0]], True),
        (lambda y: y[torch.tensor([1, 2])], False),
        (lambda y: y[torch.tensor([1, 2]) > 1] if len(y) == 2 else y[:2], False),
    ],
)
def test_sizes_that_depend_on_values_are_reported(
    way: Callable[[torch.Tensor], torch.Tensor], is_sized: bool
) -> None:
    class Picks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c = nn.Conv2d(3, 4, 3, padding=1)
            self.f = nn.Linear(4, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.f(way(self.c(x).flatten(2).transpose(1, 2)[0]))
            return out

    analysis = rfcalc.analyze(Picks())
    assert bool(analysis.graph.sized) == is_sized
    assert (
        any("sizes depend on values at test_choices.py:" in s for s in branch_sentences(analysis)) == is_sized
    )


def test_the_place_is_named_where_a_library_beside_pytorch_asks() -> None:
    boxes = pytest.importorskip("torchvision.ops.boxes")

    class Small(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows: torch.Tensor = x[0, 0, :, :4]
            return rows[boxes.remove_small_boxes(rows, 0.1)]

    assert rfcalc.analyze(Small()).graph.sized[0].startswith("boxes.py:")


LEAVING: dict[str, Test] = {
    "tolist": lambda y: y.mean().tolist() > 0,
    "numpy": lambda y: y.detach().numpy().mean() > 0,
    "a list of numbers": lambda y: max(y.flatten().tolist()) > 0,
}


@pytest.mark.parametrize("test", LEAVING.values(), ids=LEAVING)
def test_a_branch_on_content_that_left_pytorch_is_reported(test: Test) -> None:
    analysis = rfcalc.analyze(Branching(test))
    (sentence,) = branch_sentences(analysis)
    assert sentence.startswith("the content of tensors leaves PyTorch at test_choices.py:")


@pytest.mark.parametrize("draw", [random.random, lambda: np.random.rand()], ids=["random", "numpy"])
def test_a_branch_by_chance_outside_of_pytorch_is_reported_and_the_generators_are_put_back(
    draw: Callable[[], float],
) -> None:
    states = random.getstate(), np.random.get_state()[1].tobytes()
    analysis = rfcalc.analyze(Branching(lambda y: draw() > 0.5))
    assert [s.partition(";")[0] for s in branch_sentences(analysis)] == [
        "forward() draws random numbers outside of PyTorch"
    ]
    assert (random.getstate(), np.random.get_state()[1].tobytes()) == states
    assert branch_sentences(rfcalc.analyze(nn.Conv2d(3, 4, 3))) == []


def test_a_branch_that_is_an_op_is_refused_in_a_sentence() -> None:
    """torch.cond() itself takes ten seconds to import its compiler; this is what it raises."""

    class Conditional(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise NotImplementedError(
                "There was no rule registered for HigherOrderOperator cond and mode <Recorder object at 0x7f>"
            )

    with pytest.raises(ForwardError, match=r"calls torch.cond\(\), whose branches cannot be") as caught:
        rfcalc.analyze(Conditional())
    assert "0x7f" not in str(caught.value)
