"""The driver, with an executor that plays back curves: who is counted, pruned, kept, run again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from rich.console import Console
from sqlalchemy.exc import OperationalError

from records.trial import TrialRecord
from search.errors import SearchError
from search.execute.job import Job
from search.keep import study as studies
from search.keep.folder import RunFolder
from search.keep.retry import DatabaseRetry
from search.propose.gate import Admission
from search.propose.sampler import GatedSampler
from search.propose.space import WidthSpace
from search.session.trainings import Trainings
from search.session.trials import FAILURES_IN_A_ROW, Driver
from search.settings import Settings
from search.show.display import Display


class OpenGate:
    """Admits everything; what it says of a network is of no matter here."""

    def admission(self, spec: object) -> Admission:
        return Admission(90_000, 1_000, 60, {"max_params": -9_999.0}, ())


MakeDriver = Callable[..., Driver]


@pytest.fixture
def make_driver(
    tmp_path: Path, settings: Settings, small_space: WidthSpace, fake_executor: Any
) -> MakeDriver:
    def make(curve: Callable[[Job], Any], settings: Settings = settings, slots: int = 1) -> Driver:
        folder = RunFolder(tmp_path)
        sampler = GatedSampler(small_space, lambda values: True, settings.seed)
        records = folder.trials()
        for record in records:
            sampler.mark_met(record.values)
        study = studies.open_study("test", folder.storage(), sampler, settings)
        studies.settle(study, records, small_space.choices)
        display = Display(Console(quiet=True))
        kept: list[list[TrialRecord]] = []
        executor = fake_executor(curve, slots)
        gate: Any = OpenGate()
        trainings = Trainings(settings, executor, display)
        return Driver(trainings, folder, small_space, gate, study, kept.append)

    return make


def _rising(job: Job) -> list[float]:
    return [0.1, 0.2, 0.3 + job.number / 100]


@pytest.mark.parametrize("slots", [1, 4])
def test_exactly_the_wanted_trials_are_trained(
    make_driver: MakeDriver, settings: Settings, slots: int
) -> None:
    driver = make_driver(_rising, slots=slots)
    assert driver.run_trials() is False
    records = driver.folder.trials()
    assert [record.state for record in records] == ["complete"] * settings.trials
    assert [record.score for record in records] == [
        pytest.approx(0.3 + n / 100) for n in range(settings.trials)
    ]
    assert len({tuple(record.values.items()) for record in records}) == settings.trials
    states = [trial.state for trial in driver.study.trials]
    assert states == [TrialState.COMPLETE] * settings.trials


def test_a_failed_trial_does_not_count(make_driver: MakeDriver, settings: Settings) -> None:
    driver = make_driver(lambda job: "out of memory" if job.number in (0, 3) else _rising(job))
    driver.run_trials()
    records = driver.folder.trials()
    assert [record.number for record in records if record.state == "failed"] == [0, 3]
    assert {record.reason for record in records if record.state == "failed"} == {"out of memory"}
    assert sum(record.state == "complete" for record in records) == settings.trials


def test_failures_in_a_row_stop_the_search_with_the_reason(
    make_driver: MakeDriver, settings: Settings, small_space: WidthSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.session.trials.FAILURES_IN_A_ROW", 4)
    driver = make_driver(lambda job: "no such device")
    with pytest.raises(SearchError, match="4 trials in a row failed, the last one with: no such device"):
        driver.run_trials()
    assert len(driver.folder.trials()) == 4
    assert FAILURES_IN_A_ROW == 10


def test_a_success_between_failures_starts_the_count_again(
    make_driver: MakeDriver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.session.trials.FAILURES_IN_A_ROW", 2)
    driver = make_driver(
        lambda job: "bad luck" if job.number % 2 else _rising(job), replace(settings, trials=4)
    )
    driver.run_trials()
    assert sum(record.state == "failed" for record in driver.folder.trials()) == 3


def test_the_hopeless_are_pruned_and_counted(
    make_driver: MakeDriver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.pruning.STARTUP_TRIALS", 3)
    driver = make_driver(lambda job: [0.05, 0.1, 0.1] if job.number == 4 else _rising(job))
    driver.run_trials()
    records = driver.folder.trials()
    assert len(records) == settings.trials
    assert [record.number for record in records if record.state == "pruned"] == [4]
    assert len(records[4].epochs) == 2  # the first epoch is never held against a network
    assert records[4].reason == "worse than the median of the other trials after epoch 2"
    assert driver.study.trials[4].state == TrialState.PRUNED


def test_an_exhausted_space_ends_the_trials(make_driver: MakeDriver, settings: Settings) -> None:
    driver = make_driver(_rising, replace(settings, trials=20))
    assert driver.run_trials() is True
    assert len(driver.folder.trials()) == 9
    assert not driver.study.get_trials(states=(TrialState.RUNNING,))


def test_a_break_loses_no_finished_trial_and_runs_the_broken_one_again(
    make_driver: MakeDriver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    def killed_in_trial_2(job: Job) -> list[float]:
        if job.number == 2:
            raise KilledError
        return _rising(job)

    driver = make_driver(killed_in_trial_2)
    with pytest.raises(KilledError):
        driver.run_trials()
    broken = driver.study.trials[2]
    assert broken.state == TrialState.RUNNING

    resumed = make_driver(_rising)
    resumed.run_trials()
    records = resumed.folder.trials()
    assert [record.number for record in records] == [0, 1, 3, 4, 5, 6]
    assert records[2].values == broken.params
    assert not resumed.study.get_trials(states=(TrialState.RUNNING,))
    assert resumed.study.trials[3].user_attrs["retry_of"] == 2


def test_a_break_between_record_and_study_is_told_on_resume(
    make_driver: MakeDriver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(study: optuna.Study, record: TrialRecord) -> None:
        raise KeyboardInterrupt

    driver = make_driver(_rising)
    with monkeypatch.context() as patch:
        patch.setattr("search.keep.study.tell", killed)
        with pytest.raises(KeyboardInterrupt):
            driver.run_trials()
    assert driver.study.trials[0].state == TrialState.RUNNING

    resumed = make_driver(_rising)
    resumed.run_trials()
    assert [record.number for record in resumed.folder.trials()] == list(range(settings.trials))
    assert [trial.state for trial in resumed.study.trials] == [TrialState.COMPLETE] * settings.trials
    assert resumed.study.trials[0].value == pytest.approx(0.3)


def test_with_two_objectives_the_study_is_told_both_and_nothing_is_pruned(
    make_driver: MakeDriver, settings: Settings
) -> None:
    both = replace(settings, objectives=("accuracy", "macs"), pruner="none")
    driver = make_driver(lambda job: [0.05, 0.1, 0.1] if job.number == 4 else _rising(job), both)
    driver.run_trials()
    assert [record.state for record in driver.folder.trials()] == ["complete"] * settings.trials
    assert driver.study.trials[0].values == [pytest.approx(0.3), 1_000.0]


def test_no_trial_begins_when_the_time_is_up(make_driver: MakeDriver, settings: Settings) -> None:
    driver = make_driver(_rising)
    driver.in_time = lambda records: len(records) < 3
    assert driver.run_trials() is False
    assert len(driver.folder.trials()) == 3


class _LostError(Exception):
    """What a database's driver raises when the connection broke."""

    sqlstate = "08006"


def test_a_proposal_that_was_half_made_when_the_database_went_away_is_made_again(
    make_driver: MakeDriver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.keep.retry.PAUSE", 0.01)
    driver = make_driver(_rising)
    driver.retry = DatabaseRetry("sqlite://", 30.0, lambda text: None)
    ask, lost = driver.study.ask, list[dict[str, Any]]()

    def breaks_off(*given: Any) -> optuna.Trial:
        trial = ask(*given)
        if trial.number in (0, 3, 4):  # 4 is the second try of what 3 was
            lost.append(dict(trial.params))
            raise OperationalError("INSERT", {}, _LostError())
        return trial

    monkeypatch.setattr(driver.study, "ask", breaks_off)
    driver.run_trials()
    records = driver.folder.trials()
    assert [record.number for record in records] == [1, 2, 5, 6, 7, 8]
    trained = [record.values for record in records]
    assert lost[1] == lost[2]
    assert trained[0] == lost[0]
    assert trained[2] == lost[1]
    assert len({tuple(values.items()) for values in trained}) == settings.trials
    states = [trial.state for trial in driver.study.trials]
    assert [number for number, state in enumerate(states) if state == TrialState.FAIL] == [0, 3, 4]
    assert all(state.is_finished() for state in states)
