"""The list of stages: what they cost together, and how they share workers."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from models.presets import PRESETS
from records.stopping import Stop
from records.trial import TrialRecord
from search.execute import executors
from search.execute.executors import Cluster
from search.execute.worker import run as train
from search.keep.folder import RunFolder
from search.session.session import STAGES, costs
from search.session.stage import Context
from search.settings import Settings
from search.show.display import Display


@pytest.fixture
def plan(settings: Settings, tmp_path: Path) -> Any:
    dataset = SimpleNamespace(train=np.zeros(1_100))
    asked = replace(
        settings, epochs=3, subset=400, final_epochs=4, final_subset=2_000, final_seeds=2, winner_epochs=5,
        presets=("tiny",), jobs=2,
    )  # fmt: skip
    return SimpleNamespace(
        settings=asked, dataset=dataset, train_images=1_000, validation_images=100, executor=None,
        folder=RunFolder(tmp_path),
    )  # fmt: skip


def test_the_stages_have_names_and_costs(plan: Any) -> None:
    found = costs(plan)
    assert list(found) == [stage.name for stage in STAGES] == ["presets", "trials", "finalists", "winner"]
    # Trials: 6, half of them to their half, two at once. Finalists: 2 and the best preset, with two seeds.
    assert found["trials"].passes == pytest.approx(6 * 0.75 / 2 * 3 * (400 + 0.3 * 100))
    assert found["finalists"].passes == pytest.approx(6 / 2 * 4 * (1_000 + 0.3 * 100))
    assert found["presets"].passes == pytest.approx(3 * (400 + 0.3 * 100))
    assert found["winner"].passes == 5 * 1_100  # alone, on all images, without validation


def test_trials_that_are_there_cost_nothing_more(plan: Any) -> None:
    for number, state in enumerate(("complete", "pruned", "failed")):
        plan.folder.keep(
            TrialRecord(
                number=number, attempt=1, state=state, spec=PRESETS["tiny"].to_json(), recipe={}, seed=0,
                values={}, params=1, macs=1, receptive_field=60, margins={}, score=None, seconds=1.0,
            )
        )  # fmt: skip
    assert costs(plan)["trials"].trainings == pytest.approx(4 * 0.75)


class Pool:
    """An executor that is only started and closed."""

    def __init__(self, jobs: int, device: str, work: Any, place: Any) -> None:
        self.jobs, self.device, self.work, self.closed = jobs, device, work, False
        self.free = jobs

    def close(self) -> None:
        self.closed = True


def test_stages_share_the_workers_unless_the_winner_needs_the_whole_machine(
    plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(executors.EXECUTORS, "pool", Pool)
    plan.settings = replace(plan.settings, executor="pool")
    chronicle: Any = None
    context = Context(plan, Display(Console(quiet=True)), chronicle, Stop(), train)
    first: Any = context.trainings().executor
    assert (first.jobs, first.device, first.work) == (2, "cpu", train)
    assert context.trainings().executor is first
    alone: Any = context.trainings(jobs=1).executor
    assert (first.closed, alone.jobs, alone.closed) == (True, 1, False)
    context.close()
    assert alone.closed


def test_on_a_cluster_every_stage_has_the_executor_that_was_reached_before(
    plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Any = Pool
    monkeypatch.setitem(executors.EXECUTORS, "pool", Cluster(lambda address: None, opened))
    plan.settings = replace(plan.settings, executor="pool")
    plan.executor = Pool(2, "cpu", train, None)
    chronicle: Any = None
    context = Context(plan, Display(Console(quiet=True)), chronicle, Stop(), train)
    assert context.trainings().executor is plan.executor
    assert context.trainings(jobs=1).executor is plan.executor
    assert not plan.executor.closed
    context.close()
    assert plan.executor.closed
