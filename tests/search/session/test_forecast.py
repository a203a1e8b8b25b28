"""The time limit of a search on a slow machine."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from search.errors import TooShortError
from search.session import forecast as module
from search.session.cost import Cost
from search.session.forecast import with_forecast


@dataclass(frozen=True)
class Plan:
    """What a forecast reads of a plan."""

    settings: Any
    base: Any = None
    screening: Any = None
    previous: Any = None
    dataset: Any = None


@dataclass(frozen=True)
class Settings:
    """What a forecast reads of the settings."""

    time_limit: float
    device: str = "cpu"
    threads: int = 1
    jobs: int = 1
    space: str = "around"
    presets: tuple[str, ...] = ("tiny",)
    trials: int = 50
    winner_time: float | None = None
    cpus_per_job: int | None = None


@pytest.fixture
def costs() -> Mapping[str, Cost]:
    each = Cost(trainings=2, epochs=1, images=1_000, judged=0)
    return {"trials": replace(each, trainings=50), "finalists": each, "winner": each}


IMAGES = SimpleNamespace(images=SimpleNamespace(nbytes=0))


def planned(limit: float) -> Plan:
    return Plan(Settings(limit), dataset=SimpleNamespace(train=IMAGES, test=IMAGES))


def needed(costs: Mapping[str, Cost], speed: float) -> float:
    """Seconds of a preset, two children and the finalists: five trainings."""
    return module.MARGIN * 5 * costs["finalists"].passes / 2 / speed


def test_the_usual_limit_is_raised_where_the_machine_is_slow(costs, monkeypatch):
    monkeypatch.setattr(module, "speed", lambda *_: 10.0)
    plan, expected = with_forecast(planned(480), costs, given=False)
    assert plan.settings.time_limit == 60 * -(-1.25 * needed(costs, 10.0) // 60) > 480
    assert expected.seconds == plan.settings.time_limit


def test_it_stays_where_it_suffices(costs, monkeypatch):
    monkeypatch.setattr(module, "speed", lambda *_: 100.0)
    plan, _ = with_forecast(planned(480), costs, given=False)
    assert plan.settings.time_limit == 480


def test_a_limit_that_the_user_named_is_refused(costs, monkeypatch):
    monkeypatch.setattr(module, "speed", lambda *_: 10.0)
    with pytest.raises(TooShortError, match="--time-limit 480s: too short") as raised:
        with_forecast(planned(480), costs, given=True)
    assert raised.value.needed == pytest.approx(needed(costs, 10.0))
