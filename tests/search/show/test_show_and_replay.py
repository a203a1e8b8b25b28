"""`python -m search show` and `replay`, on the folder of a search with one trial that was really trained."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.presets import PRESETS
from records.environment import describe
from records.lock import locked
from records.search import SearchRecord
from records.trial import TrialRecord
from search.__main__ import main
from search.errors import SearchError
from search.execute import worker
from search.execute.job import DataRequest, Job, Outcome
from search.execute.worker import Share
from search.keep.folder import RunFolder
from search.settings import Settings
from training.data import registry as datasets
from training.fit.recipe import RECIPES
from training.fit.runfolder import dataset_facts

RECIPE = replace(
    RECIPES["fast"], epochs=2, batch_size=16, policy="none", precision="float32", layout="contiguous"
)


@pytest.fixture
def folder(image_folder: Path, tmp_path: Path, settings: Settings) -> RunFolder:
    """A search that broke off after its first trial."""
    cache = tmp_path / "cache"
    data = DataRequest(str(image_folder), str(cache), None, 48, 0)
    job = Job(0, 1, replace(PRESETS["tiny"], classes=2).to_json(), RECIPE.to_json(), 7, data)
    Share("cpu", 1).take()
    outcome = worker.run(job, "cpu", lambda epoch: True)
    assert outcome.state == "complete", outcome.reason
    folder = RunFolder(tmp_path / "out" / "one")
    trial = TrialRecord(
        number=0, attempt=1, state="complete", spec=job.spec, recipe=job.recipe, seed=job.seed,
        values={"c1_width": 24}, params=98_765, macs=12_300_000, receptive_field=61, margins={},
        score=outcome.score, seconds=outcome.seconds, epochs=outcome.epochs,
    )  # fmt: skip
    failed = replace(trial, number=1, state="failed", score=None, epochs=(), reason="out of memory")
    folder.keep(trial)
    folder.keep(failed)
    settings = replace(
        settings, data=str(image_folder), cache=str(cache), subset=48, seed=0, device="cpu", trials=6
    )
    dataset = datasets.load(str(image_folder), cache=cache, resize=None)
    record = SearchRecord(
        name="one", state="running", stage="trials", started="2026-01-01T00:00:00Z", seconds=60.0,
        command="python -m search", seed=0, sampler="tpe", base="tiny", wanted=6, settings=settings.to_json(),
        budget={}, dataset=dataset_facts(dataset, 48, 18), environment=describe("cpu"),
        trials={"complete": 1, "pruned": 0, "failed": 1, "rejected": 4}, rejections={"max_params": 4},
    )  # fmt: skip
    folder.keep_search(record, [trial, failed])
    return folder


def _run(folder: RunFolder, *words: str) -> int:
    return main([*words, "--out", str(folder.path.parent)])


def test_show_tells_how_a_broken_search_stands(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(folder, "show", "one") == 0
    said = capsys.readouterr().out
    assert "search    one: broken off, --resume continues it, stage trials" in said
    assert "trials    1 of 6" in said
    assert "1 complete, 0 pruned, 1 failed; 4 rejected before training (max_params 4)" in said
    assert "best so far: trial 0" in said
    assert "trial 1 failed: out of memory" in said
    folder_words = f"--name one --out {folder.path.parent}"
    assert f"next  python -m search --resume {folder_words} " in said
    assert _run(folder, "show") == 0  # the newest
    assert capsys.readouterr().out == said


def test_show_sees_that_a_driver_is_at_work(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    import optuna

    study = optuna.create_study(study_name="one", storage=folder.storage())
    study.ask().report(0.25, 1)
    with locked(folder.lock, SearchError("taken")):
        assert _run(folder, "show", "one") == 0
    said = capsys.readouterr().out
    assert "search    one: running, stage trials" in said
    assert re.search(r"^trial 0 .* 1/3  25\.0 % ", said, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "two"), "out/two: is no search; known in"),
        (("replay", "one", "5"), "out/one/trials: holds no trial 5; there are 0 to 1"),
        (("replay", "one", "0", "--finalist"), "out/one/finalists: holds no trial 0; there are none"),
        (("replay", "one", "1"), "trial 1: it failed (out of memory), there is nothing to compare with"),
    ],
)
def test_what_is_not_there_is_one_line(
    folder: RunFolder, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(folder, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_replay_is_the_same_to_the_last_digit_and_says_where_it_is_not(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in folder.path.rglob("*"))
    assert _run(folder, "replay", "one", "0") == 0
    assert "the same: " in capsys.readouterr().out
    assert sorted(path.name for path in folder.path.rglob("*")) == before

    path = folder.path / "trials" / "0-1.json"
    other: dict[str, Any] = json.loads(path.read_text())
    other["epochs"][-1]["train_loss"] += 1e-6
    path.write_text(json.dumps(other))
    assert _run(folder, "replay", "one", "0") == 1
    assert "not the same: " in capsys.readouterr().out


def test_a_replay_has_the_threads_of_the_search(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the search's own where it moves from the presets, whatever the number of its workers."""
    record: dict[str, Any] = json.loads(folder.search_json.read_text())
    record["settings"]["threads"] = 3
    folder.search_json.write_text(json.dumps(record))
    threads = []

    def run(job: Job, device: str, report: Any) -> Outcome:
        threads.append(job.threads)
        return Outcome(job.number, job.attempt, "failed", 0.0, reason="of the test")

    monkeypatch.setattr(worker, "run", run)
    assert _run(folder, "replay", "one", "0") == 2
    assert threads == [3]


def test_a_replay_refuses_other_images(
    folder: RunFolder, image_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder.search_json
    record: dict[str, Any] = json.loads(path.read_text())
    record["dataset"]["fingerprint"] = "another"
    path.write_text(json.dumps(record))
    assert _run(folder, "replay", "one", "0") == 2
    assert f"the images of {image_folder} are no longer those of the search" in capsys.readouterr().err
