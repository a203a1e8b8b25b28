"""The driver, when the user says stop and when trainings fail: with an executor that plays back curves."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from rich.console import Console

from records.stopping import Stop, Stopped
from search.errors import SearchError
from search.execute.job import Job
from search.keep import storage
from search.keep import study as studies
from search.keep.folder import RunFolder
from search.propose.gate import Admission
from search.propose.sampler import GatedSampler
from search.propose.space import WidthSpace
from search.session.trainings import Trainings
from search.session.trials import Driver
from search.settings import Settings
from search.show.display import Display


class OpenGate:
    """Admits everything; what it says of a network is of no matter here."""

    def admission(self, spec: object) -> Admission:
        return Admission(90_000, 1_000, 60, {"max_params": -9_999.0}, ())


MakeDriver = Callable[..., tuple[Driver, StringIO]]


@pytest.fixture
def make_driver(
    tmp_path: Path, settings: Settings, small_space: WidthSpace, fake_executor: Any
) -> MakeDriver:
    def make(curve: Callable[[Job], Any], slots: int = 1, **changes: Any) -> tuple[Driver, StringIO]:
        folder = RunFolder(tmp_path)
        asked = replace(settings, **changes)
        sampler = GatedSampler(small_space, lambda values: True, asked.seed)
        study = studies.open_study("test", folder.storage(), sampler, asked)
        records = folder.trials()
        studies.settle(study, records, small_space.choices)
        said = StringIO()
        display = Display(Console(file=said, width=200))
        executor = fake_executor(curve, slots)
        gate: Any = OpenGate()
        keep: Any = lambda records: None  # noqa: E731
        trainings = Trainings(asked, executor, display)
        driver = Driver(trainings, folder, small_space, gate, study, keep)
        return driver, said

    return make


def _rising(job: Job) -> list[float]:
    return [0.1, 0.2, 0.3 + job.number / 100]


def test_ctrl_c_once_lets_the_running_trials_end_and_starts_none(make_driver: MakeDriver) -> None:
    stop = Stop()

    def pressed_during_trial_2(job: Job) -> list[float]:
        if job.number == 2:
            stop.asked = True
        return _rising(job)

    driver, said = make_driver(pressed_during_trial_2, slots=2)
    driver.trainings.stop = stop
    with pytest.raises(Stopped):
        driver.run_trials()
    states = {record.number: record.state for record in driver.folder.trials()}
    assert 2 in states
    assert set(states.values()) == {"complete"}
    assert not driver.study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))
    assert "first; Ctrl-C again stops now" in said.getvalue()


def test_stopping_now_leaves_what_was_running_to_the_next_session(make_driver: MakeDriver) -> None:
    stop = Stop()

    def killed_in_trial_1(job: Job) -> list[float]:
        if job.number == 1:
            stop.asked = stop.now = True
        return _rising(job)

    driver, _ = make_driver(killed_in_trial_1)
    driver.trainings.stop = stop
    with pytest.raises(Stopped):
        driver.run_trials()
    assert [record.number for record in driver.folder.trials()] == [0]

    resumed, _ = make_driver(_rising)
    resumed.run_trials()
    assert (
        sum(record.state == "complete" for record in resumed.folder.trials())
        == resumed.trainings.settings.trials
    )
    assert not resumed.study.get_trials(states=(TrialState.RUNNING,))


def test_a_failure_that_does_not_come_back_leaves_a_complete_trial_of_two_attempts(
    make_driver: MakeDriver,
) -> None:
    driver, said = make_driver(
        lambda job: "out of memory" if (job.number, job.attempt) == (1, 1) else _rising(job)
    )
    driver.run_trials()
    record = driver.folder.trials()[1]
    assert (record.number, record.attempt, record.state) == (1, 2, "complete")
    assert len(driver.folder.trials()) == driver.trainings.settings.trials
    assert "trial 1 failed, it is tried again: out of memory" in said.getvalue()


def test_a_second_attempt_is_judged_as_the_first_one_was(make_driver: MakeDriver) -> None:
    driver, _ = make_driver(_rising)
    attempts: list[int] = []

    def breaks_after_two_epochs(job: Job) -> Any:
        attempts.append(job.attempt)
        # The third look at the first attempt's curve comes after two epochs were reported.
        return "died" if job.attempt == 1 and attempts.count(1) == 3 else _rising(job)

    driver.trainings.executor.curve = breaks_after_two_epochs  # type: ignore[attr-defined]
    driver.run_trials()  # Optuna warns, so fails here, when a step is reported twice
    assert driver.folder.trials()[0].attempt == 2
    assert driver.study.trials[0].intermediate_values.keys() == {1, 2}


def test_a_proposal_that_broke_two_sessions_is_not_tried_for_ever(make_driver: MakeDriver) -> None:
    class KilledError(Exception):
        pass

    def kills(job: Job) -> list[float]:
        raise KilledError

    for _ in range(2):
        driver, _said = make_driver(kills)
        with pytest.raises(KilledError):
            driver.run_trials()
    broken = driver.study.trials[-1]
    assert broken.user_attrs["retry_of"] == 0
    make_driver(_rising)
    waiting = driver.study.get_trials(states=(TrialState.WAITING, TrialState.RUNNING))
    assert waiting == []


def test_a_database_that_fails_in_the_middle_is_one_line_and_loses_nothing(make_driver: MakeDriver) -> None:
    driver, _ = make_driver(_rising)
    path = driver.folder.path / "study.db"

    def broken_in_trial_2(job: Job) -> list[float]:
        if job.number == 2:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("DROP TABLE trial_values")
                connection.execute("DROP TABLE trial_intermediate_values")
        return _rising(job)

    driver.trainings.executor.curve = broken_in_trial_2  # type: ignore[attr-defined]
    with (
        pytest.raises(SearchError, match=r"the study's database failed \(.*no such table") as error,
        storage.failures(driver.folder.storage(), "the study's database failed"),
    ):
        driver.run_trials()
    assert "\n" not in str(error.value)
    assert [record.state for record in driver.folder.trials()] == ["complete"] * 2
