"""The race, with an executor that plays back curves: who takes part, how long it goes on, who wins."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec
from records.run import EpochRecord
from records.search import LossDifference
from records.stopping import Stopped
from records.trial import TrialRecord
from search.errors import SearchError
from search.execute.job import Job
from search.keep.folder import RunFolder
from search.propose.gate import Gate
from search.propose.limits import project_budget
from search.session.finals import Race, Racer, choose, entrants
from search.session.presets import PRESET_SEEDS, train_presets
from search.session.trainings import Trainings
from search.settings import Settings
from search.show.display import Display

GATE = Gate(project_budget(), (3, 32, 32))
MakeRace = Callable[..., Race]


def _trial(number: int, loss: float, preset: str | None = None) -> TrialRecord:
    epoch = EpochRecord(1, 1.0, 0.5, loss, 1 - loss, 0.1, 1.0)
    return TrialRecord(
        number=number, attempt=1, state="complete", spec=PRESETS[preset or "tiny"].to_json(), recipe={},
        seed=50 + number, values={}, params=90_000, macs=1_000, receptive_field=60, margins={},
        score=1 - loss, seconds=1.0, epochs=(epoch,), preset=preset,
    )  # fmt: skip


@pytest.fixture
def make_race(tmp_path: Path, settings: Settings, fake_executor: Any) -> MakeRace:
    def make(curve: Callable[[Job], Any], in_time: bool = True, **changes: Any) -> Race:
        asked = {"final_seeds": 4, "final_epochs": 1, **changes}
        trainings = Trainings(replace(settings, **asked), fake_executor(curve), Display(Console(quiet=True)))
        return Race(trainings, RunFolder(tmp_path), lambda seconds: in_time)

    return make


def _submitted(race: Race | Trainings) -> list[Job]:
    trainings = race if isinstance(race, Trainings) else race.trainings
    return trainings.executor.submitted  # type: ignore[attr-defined, no-any-return]


PRESET, FIRST, SECOND = _trial(0, 0.5, "residual"), _trial(5, 0.4), _trial(6, 0.45)


def _level(levels: dict[int, float]) -> Callable[[Job], list[float]]:
    """Curves of one epoch: an accuracy for each network, and its own little noise for each seed."""
    return lambda job: [levels[job.number] + (job.seed % 7 + job.number % 3) / 10_000]


def test_a_network_that_is_clearly_better_wins_after_two_seeds(make_race: MakeRace) -> None:
    race = make_race(_level({0: 0.5, 5: 0.7, 6: 0.49}))
    standings = race.run([FIRST, SECOND, PRESET])
    assert [each.record.number for each in standings] == [5, 0, 6]
    assert {len(each.runs) for each in standings} == {2}
    assert choose(standings).record is FIRST
    assert standings[0].gap is not None
    assert standings[0].gap.loss == pytest.approx(-0.2, abs=0.001)
    assert standings[0].finalist().gap is not None
    assert standings[1].gap is None  # the best preset is the measure
    trial_seeds = {record.seed for record in (FIRST, SECOND, PRESET)}
    race_seeds = {job.seed for job in _submitted(race)}
    assert len(race_seeds) == 2  # the same for all networks
    assert not race_seeds & trial_seeds  # and none that a stage before has used


def test_the_preset_stays_where_nothing_beats_it_by_more_than_chance(make_race: MakeRace) -> None:
    race = make_race(_level({0: 0.5, 5: 0.502, 6: 0.3}))
    standings = race.run([FIRST, SECOND, PRESET])
    assert standings[0].record is FIRST  # ahead, but not by more than chance
    assert choose(standings).record is PRESET
    runs = {each.record.number: len(each.runs) for each in standings}
    assert runs == {5: 4, 0: 4, 6: 2}  # the one that is clearly behind gets no further seed


def test_the_race_ends_when_every_network_is_clearly_behind(make_race: MakeRace) -> None:
    race = make_race(_level({0: 0.7, 5: 0.4, 6: 0.3}))
    standings = race.run([FIRST, SECOND, PRESET])
    assert len(_submitted(race)) == 6
    assert choose(standings).record is PRESET


def test_the_race_ends_with_the_time_but_has_two_seeds(make_race: MakeRace) -> None:
    race = make_race(_level({0: 0.5, 5: 0.502, 6: 0.5}), in_time=False)
    standings = race.run([FIRST, SECOND, PRESET])
    assert {len(each.runs) for each in standings} == {2}


def test_a_race_that_broke_off_repeats_nothing(make_race: MakeRace) -> None:
    levels = _level({0: 0.5, 5: 0.502, 6: 0.3})
    whole = make_race(levels).run([FIRST, SECOND, PRESET])
    again = make_race(levels)
    assert [each.finalist() for each in again.run([FIRST, SECOND, PRESET])] == [e.finalist() for e in whole]
    assert not _submitted(again)
    losses = again.folder.losses(again.folder.trials("finalists")[0], "finalists")
    assert losses is not None
    assert losses.dtype == np.float16


def test_without_a_preset_the_best_mean_wins(make_race: MakeRace) -> None:
    standings = make_race(_level({5: 0.5, 6: 0.6}), final_seeds=2).run([FIRST, SECOND])
    assert choose(standings).record is SECOND


def test_a_preset_without_rivals_needs_no_race(make_race: MakeRace) -> None:
    race = make_race(_level({0: 0.5}))
    assert choose(race.run([PRESET])).record is PRESET
    assert len(_submitted(race)) == 1


def test_a_failed_finalist_is_left_out(make_race: MakeRace) -> None:
    race = make_race(lambda job: "died" if job.number == 5 else [0.5 if job.number else 0.7])
    assert [each.record.number for each in race.run([FIRST, SECOND, PRESET])] == [0, 6]
    with pytest.raises(SearchError, match="every finalist failed"):
        make_race(lambda job: "died").run([_trial(8, 0.3)])


def test_ctrl_c_lets_the_running_finalist_end_and_starts_no_other(make_race: MakeRace) -> None:
    race = make_race(_level({0: 0.5, 5: 0.5}))
    race.trainings.stop.asked = True
    with pytest.raises(Stopped):
        race.run([FIRST, PRESET])
    assert not _submitted(race)


def test_the_best_trials_race_with_the_best_preset_and_one_that_is_as_good(tmp_path: Path) -> None:
    trials = [_trial(number, 0.5 - number / 100) for number in range(3, 9)]
    presets = [_trial(0, 0.45, "residual"), _trial(1, 0.455, "transposed"), _trial(2, 0.9, "tiny")]
    found = entrants([*trials, *presets], presets, 2, RunFolder(tmp_path))
    assert [record.number for record in found] == [8, 7, 0, 1]
    behind = [presets[0], _trial(1, 0.47, "transposed"), presets[2]]
    assert [record.number for record in entrants(trials, behind, 2, RunFolder(tmp_path))] == [8, 7, 0]
    with pytest.raises(SearchError, match="no trial was completed"):
        entrants([], [], 2, RunFolder(tmp_path))


def test_a_difference_is_better_only_with_its_whole_interval() -> None:
    standings = [Racer(FIRST, gap=LossDifference(-0.02, 0.01, 0.03, 0.5, 2)), Racer(PRESET)]
    assert choose(standings).record is PRESET
    standings[0].gap = LossDifference(-0.04, 0.01, 0.03, 0.5, 2)
    assert choose(standings).record is FIRST


def test_presets_outside_of_the_space_are_trained_as_trials_are(
    make_race: MakeRace, settings: Settings
) -> None:
    race = make_race(
        lambda job: "died" if job.spec["name"] == "transposed" else [0.4, 0.5, 0.6],
        presets=("tiny", "residual", "transposed"),
    )
    found = train_presets(race.trainings, race.folder, GATE, classes=4)
    assert {record.preset for record in found} == {"tiny", "residual"}
    assert {job.recipe["epochs"] for job in _submitted(race)} == {settings.epochs}
    tiny = next(record for record in found if record.preset == "tiny")
    assert tiny.number == PRESET_SEEDS
    spec = NetSpec.from_json(tiny.spec)
    assert spec == replace(PRESETS["tiny"], classes=4)
    assert tiny.params == sum(parameter.numel() for parameter in build(spec).parameters())
    count = len(_submitted(race))
    train_presets(race.trainings, race.folder, GATE, classes=4)
    assert len(_submitted(race)) == count + 2  # the one that failed is tried again, twice as before
