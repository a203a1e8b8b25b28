"""The comparison of searches with the presets: its tables, and what it says of one seed."""

from importlib import import_module
from io import StringIO
from typing import Any

import pytest
from rich.console import Console


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


def test_the_seeds_of_fresh_trainings_are_of_no_search(script: Any) -> None:
    from search.session.breeding import GENERATION_SEEDS
    from search.session.finals import RACE_SEEDS
    from search.session.presets import PRESET_SEEDS

    assert max(GENERATION_SEEDS, RACE_SEEDS, PRESET_SEEDS) + 1_000_000 < script.FRESH_SEEDS
