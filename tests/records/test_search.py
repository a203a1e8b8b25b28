from dataclasses import replace

import pytest

from records.run import DatasetFacts, Environment
from records.search import Finalist, PresetRun, SearchRecord, against_presets


def _preset(name: str, score: float, scores: tuple[float, ...] = ()) -> PresetRun:
    return PresetRun(name, score, 95_000, 12_000_000, 93, 6, 60.0, scores)


@pytest.fixture
def record() -> SearchRecord:
    facts = DatasetFacts(
        "images", "archive", "images", "f", ("a", "b"), (32, 32), 5_000, 5_000, 9, (0, 0, 0), (1, 1, 1)
    )
    finalists = (
        Finalist(7, 0.75, 0.6, 99_000, 9_000_000, 69, 6, 60.0),
        Finalist(3, 0.76, 0.6, 99_000, 9_000_000, 69, 6, 60.0),
    )
    return SearchRecord(
        name="n", state="finished", stage="done", started="", seconds=1.0, command="", seed=0, sampler="tpe",
        base="tiny", wanted=9, settings={}, budget={}, dataset=facts,
        environment=Environment("cpu", "", 2, {}, None, None), trials={}, rejections={}, finalists=finalists,
        presets=(_preset("residual", 0.74), _preset("tiny", 0.7)), winner=3,
    )  # fmt: skip


def test_a_winner_that_is_better_says_by_how_much(record: SearchRecord) -> None:
    assert against_presets(record) == (
        "At equal training the winner beats the best preset, residual, by 2.0 points (76.0 against 74.0 % of "
        "validation; 6 epochs, 1 run each; standard error of a difference 0.9)."
    )


def test_a_winner_that_is_worse_says_so(record: SearchRecord) -> None:
    twice = replace(record, presets=(_preset("tiny", 0.7), _preset("residual", 0.7725, (0.77, 0.775))))
    words = against_presets(twice)
    assert words is not None
    assert "does not beat the best preset, residual: it is 1.2 points behind" in words
    assert "6 epochs, 2 runs each; standard error of a difference 0.6" in words
    assert "is level with the best preset, residual (" in str(
        against_presets(replace(record, presets=(_preset("residual", 0.7601),)))
    )


def test_without_a_pair_nothing_is_said(record: SearchRecord) -> None:
    assert against_presets(replace(record, presets=())) is None
    assert against_presets(replace(record, winner=None)) is None
