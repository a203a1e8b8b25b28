import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from records.codec import Record, RecordError
from records.outcome import challenger, outcome
from records.run import DatasetFacts, Environment, RunRecord
from records.search import Finalist, LossDifference, PresetRun, SearchRecord


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
    assert outcome(record) == (
        "At equal training the winner beats the best preset, residual, by 2.0 points (76.0 against 74.0 % of "
        "validation; 6 epochs, 1 run each; standard error of a difference 0.9)."
    )


def test_a_winner_that_is_worse_says_so(record: SearchRecord) -> None:
    twice = replace(record, presets=(_preset("tiny", 0.7), _preset("residual", 0.7725, (0.77, 0.775))))
    words = outcome(twice)
    assert words is not None
    assert "does not beat the best preset, residual: it is 1.2 points behind" in words
    assert "6 epochs, 2 runs each; standard error of a difference 0.6" in words
    assert "is level with the best preset, residual (" in str(
        outcome(replace(record, presets=(_preset("residual", 0.7601),)))
    )


@pytest.fixture
def raced(record: SearchRecord) -> SearchRecord:
    """Trial 3 and the preset were trained with two seeds each that no stage before had used."""
    gap = LossDifference(-0.03, 0.01, 0.02, 1.5, 2)
    trial = replace(record.finalists[1], losses=(0.70, 0.72), gap=gap)
    preset = replace(record.finalists[0], preset="residual", score=0.745, losses=(0.73, 0.75))
    return replace(record, finalists=(trial, preset), best_known="residual")


def test_a_network_that_beats_the_best_preset_is_named_with_its_interval(raced: SearchRecord) -> None:
    assert outcome(raced) == (
        "Better than the best preset, residual: trial 3, by -0.0300 ± 0.0200 in validation loss and +1.5 "
        "points, 2 fresh seeds each, 95 % interval (76.0 % against 74.5 % of validation)."
    )
    assert raced.finalists[0].gap is not None
    assert raced.finalists[0].gap.better


def test_a_difference_of_an_earlier_version_is_read(raced: SearchRecord) -> None:
    value = json.loads(json.dumps(raced.to_json()))
    assert value["finalists"][0]["gap"] == {
        "loss": -0.03, "error": 0.01, "reach": 0.02, "points": 1.5, "runs": 2,
    }  # fmt: skip
    assert SearchRecord.from_json(value).finalists[0].gap == LossDifference(-0.03, 0.01, 0.02, 1.5, 2)


def test_a_network_that_was_given_is_no_preset(raced: SearchRecord) -> None:
    given = replace(raced, settings={"given": {"residual": {}}})
    assert str(outcome(given)).startswith("Better than the best given network, residual: trial 3")


def test_where_nothing_beats_the_preset_the_outcome_says_that_first(raced: SearchRecord) -> None:
    level = replace(raced.finalists[0], gap=LossDifference(-0.01, 0.01, 0.02, 0.5, 2))
    found = replace(raced, winner=7, finalists=(level, raced.finalists[1]))
    assert str(outcome(found)).startswith(
        "No better network found; the best known is residual. The nearest, trial 3, differs by -0.0100 ± "
    )
    value = found.to_json()
    assert list(value)[:2] == ["schema", "outcome"]
    assert value["outcome"] == outcome(found)
    assert SearchRecord.from_json(json.loads(json.dumps(value))) == found


def test_the_network_set_against_the_preset_is_the_winner_else_the_nearest(raced: SearchRecord) -> None:
    far = replace(raced.finalists[0], number=9, gap=LossDifference(0.2, 0.01, 0.02, -1.0, 2))
    near = replace(far, number=8, gap=LossDifference(0.1, 0.01, 0.02, -1.0, 2))
    preset = raced.finalists[1]
    assert challenger(replace(raced, finalists=(far, near, preset), winner=9)) == far
    assert challenger(replace(raced, finalists=(far, near, preset), winner=preset.number)) == near
    assert challenger(replace(raced, finalists=(preset,), winner=preset.number)) is None


def test_without_a_pair_nothing_is_said(record: SearchRecord) -> None:
    assert outcome(replace(record, presets=())) is None
    assert outcome(replace(record, winner=None)) is None


def test_the_verdict_of_schema_1_is_read_as_numbers(record: SearchRecord) -> None:
    """Commit 7dd195b wrote "99,999", "yes" and "not judged"; its pages also had ">= 53" in tests."""
    words = [
        ("max_params", "99,999", "97,942", 99_999, 97_942),
        ("require_gap", "yes", "no", True, False),
        ("stages", "4", "not judged", 4, None),
        ("min_receptive_field", ">= 53", "69", 53, 69),
        ("odd", "no max pooling", "9" * 30, None, None),
    ]
    value = json.loads(json.dumps(record.to_json())) | {"schema": 1}
    value["verdict"] = [
        {"name": name, "limit": limit, "value": found, "margin": -1.0, "holds": True}
        for name, limit, found, _, _ in words
    ]
    read = SearchRecord.from_json(value)
    assert [(limit.limit, limit.value) for limit in read.verdict] == [each[3:] for each in words]
    again = json.loads(json.dumps(read.to_json()))
    assert again["schema"] == 2
    assert SearchRecord.from_json(again) == read


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"verdict": 3}, "field 'verdict' must be a list, got 3"),
        ({"verdict": [3]}, r"field 'verdict\[0\]' must be an object, got 3"),
        ({"verdict": [{"limit": 3}]}, r"field 'verdict\[0\].name' is missing"),
        ({"schema": 1, "verdict": 3}, "field 'verdict' must be a list, got 3"),
        ({"schema": 1, "verdict": [3]}, r"field 'verdict\[0\]' must be an object, got 3"),
        ({"trials": {"complete": -1}}, "field 'trials.complete' must be a whole number from 0"),
        (
            {"importances": {"width": float("nan")}},
            "field 'importances.width' must be a finite number, got nan",
        ),
        ({"seconds": -1}, "field 'seconds' must be a number from 0"),
        ({"name": "a\udc00"}, "field 'name' must be a text"),
        ({"wanted": 10**30}, "field 'wanted' must be a whole number from 0"),
    ],
)
def test_a_search_that_cannot_be_true_is_refused(
    record: SearchRecord, change: dict[str, Any], text: str
) -> None:
    with pytest.raises(RecordError, match=text):
        SearchRecord.from_json(json.loads(json.dumps(record.to_json())) | change)


@pytest.mark.parametrize("kind", [RunRecord, SearchRecord], ids=lambda kind: kind.__name__)
def test_odd_values_anywhere_are_one_error_or_a_record(record: SearchRecord, kind: type[Record]) -> None:
    """Every field in turn, at every depth, takes values that JSON can hold and a record should not."""
    odd = [None, True, -1, 0, 2**70, 10**400, -0.5, float("inf"), float("nan"), "", "\ud800", [], [[]], {}]
    if kind is SearchRecord:
        value = record.to_json()
    else:
        value = RunRecord.read(Path(__file__).parent / "schema1" / "finished.json").to_json()
    value = json.loads(json.dumps(value))
    places = list(_places(value))
    assert len(places) > 60
    for path in places:
        for new in odd:
            changed = copy.deepcopy(value)
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = new
            with suppress(RecordError):
                found = kind.from_json(changed)
                # What was read can be written and shown.
                text = json.dumps(found.to_json(), allow_nan=path[0] in FREE, ensure_ascii=path[0] in FREE)
                text.encode()


FREE = ("recipe", "spec", "settings", "budget")
"""Fields of any content: their own readers check them."""


def _places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = (
        value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    )
    for key, item in items:
        yield (*before, key)
        yield from _places(item, (*before, key))
