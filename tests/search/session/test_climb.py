"""Generations of moves, with an executor that plays back curves: who is in them, and who goes on."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from rich.console import Console

from models.presets import PRESETS
from records.generation import GenerationRecord
from records.trial import TrialRecord
from search.errors import SearchError
from search.execute.job import Job
from search.keep import study as studies
from search.keep.folder import RunFolder
from search.propose.gate import Gate
from search.propose.limits import limited, project_budget
from search.session.breeding import Breeding
from search.session.climb import Climber
from search.session.lineage import lineage
from search.session.opened import OpenStudy
from search.session.trainings import Trainings
from search.settings import Settings
from search.show.display import Display

GATE = Gate(limited(project_budget(), 20_000_000), (3, 32, 32))
STARTS = [(name, PRESETS[name]) for name in ("residual", "tiny", "transposed")]
MakeClimber = Callable[..., Climber]


def _curve(job: Job) -> list[float]:
    """An accuracy that depends on the network alone, and rises."""
    level = zlib.crc32(repr(sorted(job.spec.items())).encode()) % 1000 / 2500
    return [level + 0.1 * epoch for epoch in range(4)]


@pytest.fixture
def make_climber(tmp_path: Path, settings: Settings, fake_executor: Any) -> MakeClimber:
    held: dict[str, optuna.Study] = {}

    def make(
        curve: Callable[[Job], Any] = _curve,
        slots: int = 1,
        name: str = "run",
        elapsed: float = 0.0,
        **changes: Any,
    ) -> Climber:
        asked = {
            "epochs": 4,
            "trials": 12,
            "generation": 4,
            "space": "around",
            "objectives": ("loss",),
            **changes,
        }
        chosen = replace(settings, sampler=asked.pop("sampler", "climb"), jobs=slots, **asked)
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir(exist_ok=True)
        display = Display(Console(quiet=True))
        study = held.setdefault(name, optuna.create_study(study_name=name))
        study.set_user_attr(studies.NAMES, ["loss"])
        chronicle = SimpleNamespace(elapsed=elapsed, keep_soon=lambda records: None)
        plan = SimpleNamespace(settings=chosen, folder=folder, train_images=100)
        context: Any = SimpleNamespace(plan=plan, display=display, gate=GATE, chronicle=chronicle)
        retry: Any = lambda action, mend=None: action()  # noqa: E731
        trainings = Trainings(chosen, fake_executor(curve, slots), display)
        breeding = Breeding(chosen, GATE, STARTS, 99_999, bred=24)
        return Climber(context, OpenStudy(study, retry, lambda: None), trainings, breeding)

    return make


def _told(climber: Climber) -> list[tuple[int, str]]:
    return [(trial.number, trial.state.name) for trial in climber.access.study.get_trials(deepcopy=False)]


def test_exactly_the_wanted_trials_are_trained_in_generations(make_climber: MakeClimber) -> None:
    climber = make_climber()
    assert climber.run() == (None, False)
    records = climber.folder.trials()
    assert [record.number for record in records] == list(range(12))
    assert [record.generation for record in records] == [0] * 3 + [1] * 4 + [2] * 4 + [3]
    assert [record.preset for record in records[:3]] == ["residual", "tiny", "transposed"]
    assert all(record.state == "complete" for record in records[:3])  # presets run to their end
    for generation in (1, 2):
        members = [record for record in records if record.generation == generation]
        assert sorted(record.state for record in members) == ["complete"] * 2 + ["pruned"] * 2
        half = {record.number: record.epochs[1].val_loss or 0.0 for record in members}
        kept = {record.number for record in members if record.state == "complete"}
        assert kept == set(sorted(half, key=lambda number: half[number])[:2])
        for record in members:
            assert len(record.epochs) == (4 if record.number in kept else 2)
            assert record.moves
            assert record.parent is not None
    assert _told(climber) == [(record.number, record.state.upper()) for record in records]


def test_the_parents_are_the_best_two_and_the_best_preset(make_climber: MakeClimber) -> None:
    climber = make_climber()
    climber.run()
    records = climber.folder.trials()
    before = [record for record in records if (record.generation or 0) < 2 and record.state == "complete"]
    best = sorted(before, key=lambda record: record.loss or 9.0)
    allowed = {best[0].number, best[1].number, min(best[0:], key=lambda r: (r.preset is None, r.loss)).number}
    assert {record.parent for record in records if record.generation == 2} <= allowed


def test_the_same_seed_is_the_same_search_for_any_number_of_jobs(make_climber: MakeClimber) -> None:
    one, two = make_climber(name="one"), make_climber(name="two", slots=3)
    one.run()
    two.run()

    def facts(climber: Climber) -> list[Any]:
        return [(r.number, r.spec, r.seed, r.state, r.moves, r.arm, r.loss) for r in climber.folder.trials()]

    assert facts(one) == facts(two)
    other = make_climber(name="other", seed=4)
    other.run()
    assert [each[1] for each in facts(other)][3:] != [each[1] for each in facts(one)][3:]


@pytest.mark.parametrize("stop", [2, 6, 9, 14])
def test_a_search_that_breaks_off_anywhere_comes_out_the_same(make_climber: MakeClimber, stop: int) -> None:
    class BrokenOffError(Exception):
        pass

    whole = make_climber(name="whole", trials=9)
    whole.run()
    left = stop

    def breaking(job: Job) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise BrokenOffError
        return _curve(job)

    broken = make_climber(breaking, name="broken", trials=9)
    with pytest.raises(BrokenOffError):
        broken.run()
    before = {path.name: path.read_bytes() for path in (broken.folder.path / "trials").glob("*.json")}
    resumed = make_climber(name="broken", trials=9)
    assert resumed.run() == (None, False)
    assert [record.to_json() for record in resumed.folder.trials()] == [
        record.to_json() for record in whole.folder.trials()
    ]
    for name, content in before.items():
        assert (broken.folder.path / "trials" / name).read_bytes() == content
    assert all(
        trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in resumed.access.study.trials
    )


def test_predictions_choose_three_quarters_once_there_are_trials_to_learn_from(
    make_climber: MakeClimber,
) -> None:
    climber = make_climber(trials=20, generation=8)
    climber.run()
    records = climber.folder.trials()
    arms = {g: [r.arm for r in records if r.generation == g] for g in range(4)}
    assert arms[0] == ["preset"] * 3
    assert arms[1] == ["random"] * 8
    assert arms[2] == ["chosen"] * 6 + ["random"] * 2
    stored = GenerationRecord.read(climber.folder.path / "generations" / "2.json")
    assert all(member.predicted is not None for member in stored.members)
    assert "predictions of generation 2" in climber.taus()
    trusted = climber.breeding.taus[2] >= 0.2
    assert ("chosen" in arms[3]) == trusted


def test_predictions_that_rank_badly_are_left_out(make_climber: MakeClimber) -> None:
    climber = make_climber(trials=11, generation=8)
    climber.run()
    climber.breeding.taus[1] = 0.1
    generation = climber.breeding.next(2, 4, climber.folder.trials())
    assert generation is not None
    assert {member.arm for member in generation.members} == {"random"}
    climber.breeding.taus[1] = 0.3
    again = climber.breeding.next(2, 4, climber.folder.trials())
    assert again is not None
    assert [member.arm for member in again.members] == ["chosen"] * 3 + ["random"]


def test_the_control_makes_random_moves_of_the_presets_alone(make_climber: MakeClimber) -> None:
    climber = make_climber(sampler="random-moves", trials=15, generation=6)
    climber.run()
    children = [record for record in climber.folder.trials() if record.generation]
    assert {record.arm for record in children} == {"random"}
    assert {record.parent for record in children} <= {0, 1, 2}


def test_a_network_whose_step_takes_too_long_is_turned_away(make_climber: MakeClimber) -> None:
    climber = make_climber(trials=7)
    met: list[str] = []

    def too_slow(spec: Any, base: Any) -> bool:
        assert base.name in PRESETS
        met.append(repr(spec))
        return len(met) <= 2

    climber.breeding.too_slow = too_slow
    before = GATE.rejections["step time"]
    climber.run()
    assert GATE.rejections["step time"] - before == 2
    assert len(met) == 6
    assert len(climber.folder.trials()) == 7


def test_the_time_limit_leaves_room_for_the_finalists(make_climber: MakeClimber) -> None:
    def apart(job: Job) -> list[float]:
        return [0.1 + 0.2 * epoch - 0.05 * (job.number % 3) for epoch in range(4)]

    # A trial takes 2 s (four epochs), half of a generation ends at half; two finalists and a preset, which is
    # clearly the best of three, have two runs each: 6 * 2 * 1.1 s.
    left = 13.2 + 1.1 * 2 * 0.75 * 3 + 0.01
    climber = make_climber(apart, time_limit=100.0, elapsed=100.0 - left, final_epochs=4)
    reason, _ = climber.run()
    records = climber.folder.trials()
    assert [record.generation for record in records].count(1) == 3  # cut short from 4
    late = make_climber(name="late", time_limit=100.0, elapsed=90.0, final_epochs=4)
    assert late.run() == ("the time limit ended the trials after 3 of 12", False)
    assert reason is None or "time limit" in reason


def test_a_last_generation_of_one_fits_where_the_time_does(make_climber: MakeClimber) -> None:
    climber = make_climber(trials=8, time_limit=1_000.0, final_epochs=4)
    assert climber.run() == (None, False)
    assert [record.generation for record in climber.folder.trials()].count(2) == 1


def test_a_failed_trial_does_not_count_and_many_end_the_search(make_climber: MakeClimber) -> None:
    climber = make_climber(lambda job: "died" if job.number == 4 else _curve(job), retries=0, trials=8)
    climber.run()
    states = [record.state for record in climber.folder.trials()]
    assert states.count("failed") == 1
    assert len(states) - 1 == 8
    broken = make_climber(lambda job: "no device", name="broken", retries=0)
    with pytest.raises(SearchError, match="no preset could be trained"):
        broken.run()


def test_the_lineage_leads_from_a_preset_with_the_gain_of_each_move(make_climber: MakeClimber) -> None:
    climber = make_climber(trials=15)
    climber.run()
    records = {record.number: record for record in climber.folder.trials()}
    winner = next(r for r in reversed(records.values()) if r.state == "complete" and r.preset is None)
    steps = lineage(winner, list(records.values()), climber.folder)
    assert steps[0].title in PRESETS
    assert steps[0].gain is None
    assert steps[-1].number == winner.number
    assert winner.parent is not None
    parent: TrialRecord = records[winner.parent]
    assert steps[-1].gain == pytest.approx((winner.loss or 0) - (parent.loss or 0))
    assert steps[-1].error is not None
    assert lineage(records[0], list(records.values()), climber.folder) == ()


def test_checkpoints_of_trials_that_ended_are_removed(make_climber: MakeClimber) -> None:
    climber = make_climber(trials=7)
    halves = climber.folder.path / "half"
    halves.mkdir()
    (halves / "3.pt").touch()
    (halves / "4.previous.pt").touch()
    climber.run()
    assert not list(halves.glob("*.pt"))
