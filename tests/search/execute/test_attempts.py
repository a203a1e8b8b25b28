"""Second chances, and what is said twice or too late."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from records.run import EpochRecord
from search.execute.attempts import Attempts
from search.execute.job import DataRequest, Job, Outcome
from search.execute.protocol import EpochDone, Event, JobDone

JOB = Job(3, 1, {}, {"epochs": 2}, 11, DataRequest("shapes", "nowhere", None, None, 0))
EPOCH = EpochRecord(1, 1.0, 0.5, 1.0, 0.5, 0.1, 1.0)


class Scripted:
    """An executor that says what the test tells it to."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.submitted: list[Job] = []
        self.answers: list[tuple[Job, bool]] = []
        self.free = 4

    def submit(self, job: Job) -> None:
        self.submitted.append(job)

    def wait(self, timeout: float) -> Sequence[Event]:
        events, self.events = self.events, []
        return events

    def answer(self, job: Job, *, go_on: bool) -> None:
        self.answers.append((job, go_on))

    def close(self) -> None:
        self.free = 0


def _ends(job: Job, state: str = "complete", reason: str | None = None) -> JobDone:
    return JobDone(job, Outcome(job.number, job.attempt, state, 1.0, (), reason))


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


def test_a_failed_job_is_tried_again_with_the_same_seed_and_the_driver_hears_nothing(
    scripted: Scripted,
) -> None:
    told: list[tuple[Job, str]] = []
    attempts = Attempts(scripted, 1, lambda job, reason: told.append((job, reason)))
    attempts.submit(JOB)
    scripted.events = [_ends(JOB, "failed", "out of memory")]
    assert attempts.wait(0) == []
    assert scripted.submitted == [JOB, replace(JOB, attempt=2)]
    assert told == [(JOB, "out of memory")]


def test_the_last_attempt_is_reported_with_its_reason(scripted: Scripted) -> None:
    attempts = Attempts(scripted, 1, lambda job, reason: None)
    attempts.submit(JOB)
    scripted.events = [_ends(JOB, "failed", "out of memory")]
    attempts.wait(0)
    last = _ends(replace(JOB, attempt=2), "failed", "the loss became nan")
    scripted.events = [last]
    assert attempts.wait(0) == [last]
    assert len(scripted.submitted) == 2


def test_without_retries_the_first_failure_is_reported(scripted: Scripted) -> None:
    attempts = Attempts(scripted, 0, lambda job, reason: pytest.fail("nothing is tried again"))
    attempts.submit(JOB)
    failure = _ends(JOB, "failed", "x")
    scripted.events = [failure]
    assert attempts.wait(0) == [failure]


def test_a_result_that_comes_twice_is_heard_once(scripted: Scripted) -> None:
    attempts = Attempts(scripted, 1, lambda job, reason: None)
    attempts.submit(JOB)
    scripted.events = [_ends(JOB), _ends(JOB)]
    assert attempts.wait(0) == [_ends(JOB)]
    scripted.events = [_ends(JOB, "failed", "late")]
    assert attempts.wait(0) == []
    assert scripted.submitted == [JOB]


def test_a_late_word_of_an_attempt_that_was_given_up_is_ignored_and_its_slot_freed(
    scripted: Scripted,
) -> None:
    attempts = Attempts(scripted, 1, lambda job, reason: None)
    attempts.submit(JOB)
    scripted.events = [_ends(JOB, "failed", "silent")]
    attempts.wait(0)
    second = replace(JOB, attempt=2)
    scripted.events = [EpochDone(JOB, EPOCH), _ends(JOB), EpochDone(second, EPOCH)]
    assert attempts.wait(0) == [EpochDone(second, EPOCH)]
    assert scripted.answers == [(JOB, False)]


def test_trainings_of_one_trial_with_different_seeds_do_not_mix(scripted: Scripted) -> None:
    attempts = Attempts(scripted, 1, lambda job, reason: None)
    other = replace(JOB, seed=12)
    attempts.submit(JOB)
    attempts.submit(other)
    scripted.events = [_ends(other), _ends(JOB)]
    assert attempts.wait(0) == [_ends(other), _ends(JOB)]
