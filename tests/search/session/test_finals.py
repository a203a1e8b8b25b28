"""Finalists and presets, with an executor that plays back curves: who is trained, and how."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import rfcalc
from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec
from records.search import TrialRecord
from records.stopping import Stopped
from search.errors import SearchError
from search.execute.job import Job
from search.keep.folder import RunFolder
from search.propose.gate import Gate
from search.propose.limits import project_budget
from search.propose.rivals import rivals
from search.session.finals import Finals
from search.session.trainings import Trainings
from search.settings import Settings
from search.show.display import Display

MakeFinals = Callable[..., Finals]
GATE = Gate(project_budget(), (3, 32, 32))


@pytest.fixture
def make_finals(tmp_path: Path, settings: Settings, fake_executor: Any) -> MakeFinals:
    """Six trials have ended, the later the better, and one has failed."""
    folder = RunFolder(tmp_path)
    for number in range(7):
        state = "failed" if number == 6 else "complete"
        folder.keep(
            TrialRecord(
                number=number, attempt=1, state=state, spec=PRESETS["tiny"].to_json(), recipe={},
                seed=50 + number, values={}, params=90_000, macs=1_000, receptive_field=60, margins={},
                score=None if state == "failed" else 0.3 + number / 100, seconds=1.0,
            )
        )  # fmt: skip

    def make(curve: Callable[[Job], Any], **changes: Any) -> Finals:
        executor = fake_executor(curve)
        return Finals(Trainings(replace(settings, **changes), executor, Display(Console(quiet=True))), folder)

    return make


def _submitted(finals: Finals) -> list[Job]:
    return finals.trainings.executor.submitted  # type: ignore[attr-defined, no-any-return]


def test_the_best_trials_become_finalists_and_the_best_of_them_comes_first(
    make_finals: MakeFinals, settings: Settings
) -> None:
    finals = make_finals(lambda job: [0.5, 0.6, 0.7, 0.9 - job.number / 100])
    finalists = finals.run_finalists()
    assert [finalist.number for finalist in finalists] == [4, 5]
    assert finalists[0].score == pytest.approx(0.86)
    assert finalists[0].trial_score == pytest.approx(0.34)
    assert finalists[0].epochs == settings.final_epochs
    submitted = _submitted(finals)
    assert submitted[-1].recipe["epochs"] == settings.final_epochs

    count = len(submitted)
    assert finals.run_finalists() == finalists  # resumed: nothing is trained again
    assert len(submitted) == count


def test_a_failed_finalist_is_left_out(make_finals: MakeFinals) -> None:
    finals = make_finals(lambda job: "died" if job.number == 5 else [0.5])
    assert [finalist.number for finalist in finals.run_finalists()] == [4]
    (finals.folder.path / "finalists" / "4-1.json").unlink()
    with pytest.raises(SearchError, match="every finalist failed"):
        make_finals(lambda job: "died").run_finalists()


def test_finalists_are_trained_with_several_seeds_and_their_mean_counts(make_finals: MakeFinals) -> None:
    finals = make_finals(lambda job: [job.seed % 1000 / 1000], final_seeds=3)
    finalists = finals.run_finalists()
    runs = _submitted(finals)
    assert len(runs) == 6
    for finalist in finalists:
        seeds = [job.seed for job in runs if job.number == finalist.number]
        assert len(set(seeds)) == 3
        assert finalist.scores == tuple(seed % 1000 / 1000 for seed in seeds)
        assert finalist.score == pytest.approx(sum(finalist.scores) / 3)
        for run, seed in zip(("", "run-2/", "run-3/"), seeds, strict=True):
            path = finals.folder.path / f"finalists/{run}{finalist.number}-1.json"
            assert TrialRecord.read(path).seed == seed
    assert finals.run_finalists() == finalists  # resumed: nothing is trained again
    assert len(runs) == 6


def test_the_presets_are_trained_as_the_finalists_are(make_finals: MakeFinals) -> None:
    names = ("tiny", "residual")
    finals = make_finals(
        lambda job: [0.4 if job.spec["name"] == "tiny" else 0.6], presets=names, final_seeds=2
    )
    finals.run_finalists()
    before = len(_submitted(finals))
    found = finals.run_presets(GATE, classes=4)
    assert [(preset.name, preset.score, len(preset.scores)) for preset in found] == [
        ("residual", 0.6, 2),
        ("tiny", 0.4, 2),
    ]
    finalist, preset = _submitted(finals)[before - 1], _submitted(finals)[before]
    assert (preset.recipe, preset.data) == (finalist.recipe, finalist.data)
    assert len({job.seed for job in _submitted(finals)}) == 8
    spec = NetSpec.from_json(preset.spec)
    assert spec == replace(PRESETS["tiny"], classes=4)
    known = next(each for each in found if each.name == "tiny")
    assert known.params == sum(parameter.numel() for parameter in build(spec).parameters())

    count = len(_submitted(finals))
    assert finals.run_presets(GATE, classes=4) == found  # resumed: nothing is trained again
    assert len(_submitted(finals)) == count


def test_a_preset_that_fails_is_left_out_and_ends_nothing(make_finals: MakeFinals) -> None:
    finals = make_finals(
        lambda job: "died" if job.spec["name"] == "tiny" else [0.6], presets=("tiny", "residual")
    )
    assert [preset.name for preset in finals.run_presets(GATE, classes=10)] == ["residual"]


def test_ctrl_c_lets_the_running_finalist_end_and_starts_no_other(make_finals: MakeFinals) -> None:
    finals = make_finals(lambda job: [0.5])
    finals.trainings.stop.asked = True
    with pytest.raises(Stopped):
        finals.run_finalists()
    assert not _submitted(finals)


def test_by_default_the_presets_are_those_that_fit() -> None:
    budget, size = project_budget(), (3, 32, 32)
    assert rivals(None, budget, size, 10, "cuda") == tuple(PRESETS)
    small = rivals(None, budget, size, 10, "cpu")
    assert 0 < len(small) < len(PRESETS)
    assert all(rfcalc.analyze(build(PRESETS[name]), input_size=size).macs <= 20_000_000 for name in small)
    assert rivals(None, replace(budget, max_params=96_000), size, 10, "cuda") == tuple(
        name
        for name, spec in PRESETS.items()
        if sum(each.numel() for each in build(spec).parameters()) <= 96_000
    )


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("tiny,resdual", "'resdual' is unknown; did you mean residual?"),
        ("tiny,tiny", "names each preset once"),
        ("wide", "wide breaks max_macs"),
    ],
)
def test_presets_that_cannot_be_a_measure_are_refused(asked: str, text: str) -> None:
    budget = replace(project_budget(), max_macs=20_000_000)
    with pytest.raises(SearchError, match=text):
        rivals(asked, budget, (3, 32, 32), 10, "cpu")


def test_none_of_them_can_be_asked_for_and_one_that_is_large_too() -> None:
    assert rivals("none", project_budget(), (3, 32, 32), 10, "cpu") == ()
    assert rivals("wide", project_budget(), (3, 32, 32), 10, "cpu") == ("wide",)
