"""What the stages cost, and when the time limit lets a trial begin."""

from dataclasses import replace

import pytest

from records.run import EpochRecord
from records.trial import TrialRecord
from search.session.cost import Cost
from search.session.timing import TimeLimit

TRIAL = Cost(1, epochs=3, images=100, judged=200)
LATER = (Cost(2, epochs=4, images=100, judged=200), Cost(1, epochs=1, images=120))


@pytest.fixture
def trial() -> TrialRecord:
    """Three epochs of 100 images, judged by 200, in 4.8 seconds: 0.01 s a pass."""
    epochs = tuple(EpochRecord(n, 1.0, 0.5, 1.0, 0.5, 0.1, 1.6) for n in (1, 2, 3))
    return TrialRecord(
        0, 1, "complete", {}, {}, 0, {}, params=10, macs=1, receptive_field=53, margins={}, score=0.5,
        seconds=4.8, epochs=epochs,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cost", "passes"),
    [
        (Cost(1, 4, 2_500), 10_000),
        (Cost(6, 4, 2_500, judged=500, at_once=2), 31_800),
        (Cost(1, 4, 2_500, at_once=8), 10_000),
        (Cost(0, 4, 2_500, at_once=2), 0),
        (Cost(0.9, 10, 100), 900),
    ],
    ids=["one", "several at once", "fewer than could run at once", "none", "a pruned one"],
)
def test_the_passes_of_a_stage(cost: Cost, passes: float) -> None:
    assert cost.passes == pytest.approx(passes)


def test_the_time_limit_leaves_room_for_finalists_and_winner(trial: TrialRecord) -> None:
    limit = TimeLimit(100.0, TRIAL, LATER)
    # A last trial 480 passes, two finalists 2 * 4 * 160, the winner 120, at 0.01 s.
    assert limit.reserve([trial]) == pytest.approx(1.1 * 0.01 * (480 + 1_280 + 120))
    assert limit.allows([trial])
    assert not replace(limit, spent=90.0).allows([trial])
    assert replace(limit, spent=90.0).allows([])  # nothing to choose from yet
    assert replace(limit, seconds=None, spent=1e9).allows([trial])


def test_trials_at_once_make_the_rest_shorter(trial: TrialRecord) -> None:
    alone = TimeLimit(100.0, TRIAL, (Cost(4, 4, 100),)).reserve([trial])
    paired = TimeLimit(100.0, replace(TRIAL, at_once=2), (Cost(4, 4, 100, at_once=2),)).reserve([trial])
    assert alone - paired == pytest.approx(1.1 * 0.01 * 800)
