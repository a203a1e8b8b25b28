"""search.json and trials.csv while the search goes on."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from records.environment import Environment
from records.run import DatasetFacts
from records.search import SearchRecord
from records.trial import TrialRecord
from search.keep.folder import RunFolder
from search.session import chronicle as chronicles
from search.session.chronicle import Chronicle
from search.session.cost import Cost
from search.session.findings import Findings
from search.settings import Settings

FACTS = DatasetFacts(
    name="shapes", kind="shapes", title="shapes", fingerprint="0", classes=("a", "b"), image_size=(32, 32),
    train_images=90, validation_images=10, test_images=20, mean=(0.0,) * 3, std=(1.0,) * 3, notice=None,
)  # fmt: skip


class Clock:
    """Stands still unless the test moves it."""

    seconds = 1e9

    def monotonic(self) -> float:
        return self.seconds

    def __getattr__(self, name: str) -> Any:
        import time

        return getattr(time, name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(chronicles, "time", found)
    return found


@pytest.fixture
def chronicle(tmp_path: Path, settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Chronicle:
    monkeypatch.setattr(chronicles, "dataset_facts", lambda *given: FACTS)
    monkeypatch.setattr(chronicles, "describe", lambda device: Environment("cpu", "none", 2, {}, None, None))
    plan: Any = SimpleNamespace(
        folder=RunFolder(tmp_path / "run"), settings=settings, previous=None, screening=None, dataset=None,
        train_images=90, validation_images=10,
    )  # fmt: skip
    gate: Any = SimpleNamespace(rejections=Counter(), budget=SimpleNamespace(limits=dict))
    return Chronicle(plan, gate, "python -m search")


def _trial(number: int) -> TrialRecord:
    return TrialRecord(
        number=number, attempt=1, state="complete", spec={}, recipe={}, seed=0, values={}, params=1, macs=1,
        receptive_field=60, margins={}, score=0.5, seconds=1.0,
    )  # fmt: skip


def _trials_in(chronicle: Chronicle) -> int:
    path = chronicle.plan.folder.search_json
    return SearchRecord.read(path).trials["complete"] if path.is_file() else -1


def test_the_files_are_written_at_most_once_a_second(chronicle: Chronicle, clock: Clock) -> None:
    trials = [_trial(number) for number in range(20)]
    written = 0
    for number in range(20):
        clock.seconds += 0.25
        written += chronicle.keep_soon(trials[: number + 1]) is not None
    assert written == 5
    assert _trials_in(chronicle) == 17
    clock.seconds += 1.0
    assert chronicle.keep_soon(trials) is not None  # what was left out is not forgotten
    assert _trials_in(chronicle) == 20


def test_an_end_is_written_at_once(chronicle: Chronicle) -> None:
    chronicle.keep([_trial(0)])
    chronicle.keep([_trial(0), _trial(1)], "stopped", "stopped by the user")
    record = SearchRecord.read(chronicle.plan.folder.search_json)
    assert (record.trials["complete"], record.reason) == (2, "stopped by the user")
    assert len((chronicle.plan.folder.path / "trials.csv").read_text().splitlines()) == 3


def test_files_that_take_long_to_write_are_written_more_rarely(
    chronicle: Chronicle, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = RunFolder.keep_search

    def slow(folder: RunFolder, *given: Any) -> None:
        clock.seconds += 2.0
        keep(folder, *given)

    monkeypatch.setattr(RunFolder, "keep_search", slow)
    chronicle.keep([])
    clock.seconds += 19.0
    assert chronicle.keep_soon([]) is None
    clock.seconds += 1.0
    assert chronicle.keep_soon([]) is not None


def test_the_record_lists_the_stages_with_the_time_of_all_sessions(chronicle: Chronicle) -> None:
    cost = Cost(6, 4, 2_500, 500)
    chronicle.ended("trials", cost, 60.0)
    previous = chronicle.record([])
    assert [(each.name, each.epochs, each.images, each.seconds) for each in previous.stages] == [
        ("trials", 4, 2_500, 60.0)
    ]
    plan: Any = SimpleNamespace(**(vars(chronicle.plan) | {"previous": previous}))
    later = Chronicle(plan, chronicle.gate, "python -m search --resume")
    later.ended("trials", cost, 5.5)
    later.ended("finalists", cost, 1.0)
    assert [(each.name, each.seconds) for each in later.record([]).stages] == [
        ("trials", 65.5),
        ("finalists", 1.0),
    ]
    found = SearchRecord.from_json(replace(later.record([]), winner=3).to_json())
    assert found.stages == later.record([]).stages


def test_what_the_stages_found_is_in_the_record(chronicle: Chronicle) -> None:
    chronicle.findings = Findings(winner=3, reason="the time limit ended the trials after 2 of 6")
    record = chronicle.record([])
    assert (record.winner, record.reason) == (3, "the time limit ended the trials after 2 of 6")
