"""The comparison of searches with the presets: its tables, and what it says of one seed."""

import re
from dataclasses import replace
from importlib import import_module
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from benchmarks import tau_at_length
from records.generation import GenerationRecord, Member
from records.run import EpochRecord
from records.trial import TrialRecord


@pytest.fixture
def script() -> Any:
    return import_module("benchmarks.search_beats_presets")


def test_the_interval_is_students_over_the_searches(script: Any) -> None:
    assert script.mean_and_reach([1.0, 2.0, 3.0]) == "+2.0000 ± 2.4843 (n = 3)"  # 4.303 * 1 / sqrt(3)
    assert script.mean_and_reach([1.5]) == "+1.5000 (n = 1, no interval)"


def test_climb_and_control_are_compared_seed_by_seed(script: Any) -> None:
    def row(sampler: str, seed: int, points: float, won: bool) -> Any:
        return script.Row(sampler, seed, "trial 7", "residual", -points / 50, 0.01, points, won)

    rows = [row("climb", 0, 1.0, True), row("climb", 1, 0.5, False), row("random-moves", 0, -0.5, False)]
    text = StringIO()
    script.show(rows, Console(file=text, width=200))
    shown = text.getvalue()
    assert "climb: loss -0.0150 ±" in shown
    assert "handed out, points +0.5000 ±" in shown  # a network that did not win its race is not handed out
    assert "climb minus control, points: +1.5000 (n = 1, no interval)" in shown


def _trial(number: int, state: str = "complete", preset: str | None = None) -> TrialRecord:
    return TrialRecord(
        number=number, attempt=1, state=state, spec={}, recipe={}, seed=0, values={}, params=1, macs=1,
        receptive_field=60, margins={}, score=0.5, seconds=1.0, preset=preset,
    )  # fmt: skip


def _trained(losses: dict[tuple[int, int], float]) -> Any:
    def train(record: TrialRecord, epochs: int, images: int) -> TrialRecord:
        loss = losses[record.number, epochs]
        return replace(record, epochs=(EpochRecord(epochs, 1.0, 0.5, loss, 0.5, 0.1, 1.0),))

    return train


def test_children_are_picked_by_their_numbers_and_not_by_how_they_fared() -> None:
    records = [_trial(0, preset="tiny"), *(_trial(number) for number in range(1, 10)), _trial(10, "failed")]
    records[3] = replace(records[3], state="pruned")
    assert [record.number for record in tau_at_length.picked(records, 3)] == [0, 1, 5, 9]
    assert [record.number for record in tau_at_length.picked(records, 20)] == list(range(10))


def test_tau_says_whether_the_order_holds_at_length() -> None:
    records = [_trial(0, preset="tiny"), _trial(1), _trial(2), _trial(3)]
    short, long = tau_at_length.Length.read("6x15000"), tau_at_length.Length(30, 45_000)
    shorts, longs = (0.9, 0.8, 0.7, 0.6), (0.5, 0.2, 0.3, 0.4)  # of six pairs three keep their order
    losses = {(n, 6): shorts[n] for n in range(4)} | {(n, 30): longs[n] for n in range(4)}
    text = StringIO()
    tau_at_length.show_lengths(records, _trained(losses), short, long, Console(file=text, width=200))
    shown = text.getvalue()
    assert "all: tau of loss 0.00 (" in shown
    assert "n = 4, one seed; wanted is 0.5, it fails" in shown
    assert "children: tau of loss -1.00 (" in shown
    assert "loss, 6 x 15,000" in shown


def test_expectations_are_compared_within_a_generation_alone() -> None:
    def member(number: int, predicted: float | None) -> Member:
        return Member(number, {}, 0, None, 0, ("x",), "chosen", predicted)

    # Right within each generation, though the second one's level is far off.
    first = GenerationRecord(1, (member(1, 0.5), member(2, 0.6), member(3, None)), True)
    second = GenerationRecord(2, (member(4, 0.1), member(5, 0.2), member(6, 0.3)), True)
    losses = {1: 0.50, 2: 0.55, 3: 0.1, 4: 0.70, 5: 0.75, 6: 0.80}
    groups = tau_at_length.pairs([GenerationRecord(0, (member(0, None),), False), first, second], losses)
    assert groups == [([0.5, 0.6], [0.50, 0.55]), ([0.1, 0.2, 0.3], [0.70, 0.75, 0.80])]
    assert tau_at_length.tau_within(groups) == 1.0
    turned = [groups[0], (groups[1][0], groups[1][1][::-1])]
    assert tau_at_length.tau_within(turned) == pytest.approx((1 - 3) / 4)
    text = StringIO()
    tau_at_length.show_ranker(groups, Console(file=text, width=200))
    assert (
        "tau of expected with measured loss 1.00, n = 5 children of 2 generations, fewer than 24"
        in text.getvalue()
    )


@pytest.mark.parametrize("text", ["6", "6x", "x5", "0x5", "6x1.5", "six"])
def test_a_length_is_epochs_by_images(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        tau_at_length.Length.read(text)


def test_the_seeds_of_fresh_trainings_are_of_no_search(script: Any) -> None:
    from search.session.breeding import GENERATION_SEEDS
    from search.session.finals import RACE_SEEDS
    from search.session.presets import PRESET_SEEDS

    assert max(GENERATION_SEEDS, RACE_SEEDS, PRESET_SEEDS) + 1_000_000 < script.FRESH_SEEDS
