import json
from collections.abc import Callable
from pathlib import Path

import pytest

from records.files import write_json
from records.trial import TrialRecord
from reports.errors import ReportError
from reports.runs import SearchRun, TrainRun, open_run, open_search


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_search_is_read_with_its_trials_and_its_winner(make_search: Callable[..., Path]) -> None:
    run = open_run(make_search(trials=20))
    assert isinstance(run, SearchRun)
    assert [trial.number for trial in run.trials] == list(range(20))
    assert run.best is not None
    assert run.best.source is not None
    scores = [trial.score for trial in run.scored]
    assert scores == sorted(scores, reverse=True)
    assert run.scored[0].number == run.record.winner
    assert run.notes == ()


def test_the_newest_attempt_of_a_trial_counts(
    make_search: Callable[..., Path], make_trial: Callable[..., TrialRecord]
) -> None:
    folder = make_search(trials=3)
    again = make_trial(1, seed=8, attempt=2)
    write_json(folder / "trials" / "1-2.json", again.to_json())
    assert open_search(folder).trials[1] == again


def test_temporary_files_of_a_running_search_are_passed_over(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=3)
    (folder / "trials" / ".3-1-4711-abcd.json").write_text('{"half')
    assert len(open_search(folder).trials) == 3


def test_a_training_run_is_read(make_run: Callable[..., Path]) -> None:
    run = open_run(make_run())
    assert isinstance(run, TrainRun)
    assert run.mistakes is not None
    assert run.notes == ()


def test_the_surest_mistakes_are_read_with_their_names(make_run: Callable[..., Path]) -> None:
    wrong = open_run(make_run()).wrong
    assert len(wrong) == 24
    assert (wrong[0].image, wrong[0].true, wrong[0].predicted) == (
        195,
        "dog",
        "frog",
    )  # 195 % 5 == 0, the last of 200
    assert [each.confidence for each in wrong] == sorted((each.confidence for each in wrong), reverse=True)


def test_predictions_that_cannot_be_read_are_named(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    for content in (b"PK no archive", b""):
        (folder / "predictions.npz").write_bytes(content)
        with pytest.raises(ReportError, match=r"predictions\.npz: cannot be read"):
            open_run(folder)


def test_a_run_that_goes_on_is_reported_as_such(make_run: Callable[..., Path]) -> None:
    assert "still going or broke off" in open_run(make_run(finished=False)).notes[0]


def test_a_search_that_goes_on_is_reported_as_such(make_search: Callable[..., Path]) -> None:
    notes = open_run(make_search(trials=5, best=False, state="running", stage="trials")).notes
    assert "still going, or it broke off" in notes[0]
    assert '"trials"' in notes[0]


def test_a_search_that_stopped_says_why(make_search: Callable[..., Path]) -> None:
    run = open_run(
        make_search(trials=5, best=False, state="stopped", stage="trials", reason="ten failures in a row")
    )
    assert "ten failures in a row" in run.notes[0]


def test_a_finished_search_without_its_winner_says_so(make_search: Callable[..., Path]) -> None:
    assert "best/ of the winner is missing" in open_run(make_search(trials=5, best=False)).notes[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "does not exist"), ("file", "is a file"), ("empty", "neither search.json")],
)
def test_what_is_no_run_folder_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReportError, match=message):
        open_run(tmp_path / name)


def test_a_training_run_is_no_search(make_run: Callable[..., Path]) -> None:
    with pytest.raises(ReportError, match=r"has no search\.json"):
        open_search(make_run())


def test_a_truncated_record_is_named(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=3)
    path = folder / "best" / "run.json"
    path.write_text(path.read_text()[:200])
    with pytest.raises(ReportError, match=r"best/run\.json: is not complete JSON"):
        open_run(folder)


def test_a_truncated_trial_is_named(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=3)
    (folder / "trials" / "2-1.json").write_text("{")
    with pytest.raises(ReportError, match=r"trials/2-1\.json"):
        open_run(folder)


def test_an_unknown_version_is_named_with_its_field(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    edit(folder / "run.json", schema=99)
    with pytest.raises(ReportError, match=r"run\.json: field 'schema' is 99"):
        open_run(folder)


def test_a_wrong_field_is_named(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    edit(folder / "run.json", params="many")
    with pytest.raises(ReportError, match="field 'params' must be int, got 'many'"):
        open_run(folder)


def test_an_unknown_state_is_named_with_its_file(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=3)
    edit(folder / "trials" / "1-1.json", state="resting")
    with pytest.raises(ReportError, match=r"trials/1-1\.json: field 'state' must be one of .*got 'resting'"):
        open_run(folder)


def test_a_number_that_json_does_not_have_is_refused(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=3)
    edit(folder / "trials" / "1-1.json", score=float("nan"))
    with pytest.raises(ReportError, match=r"trials/1-1\.json: is not complete JSON \(NaN"):
        open_run(folder)


def test_a_confusion_matrix_that_does_not_fit_the_classes_is_named(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    edit(folder / "run.json", confusion=[[1, 2], [3]])
    with pytest.raises(ReportError, match=r"run\.json: field 'confusion' must be 10 rows of 10 counts"):
        open_run(folder)


def test_a_picture_that_cannot_be_read_is_named(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    content = (folder / "mistakes.png").read_bytes()
    (folder / "mistakes.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ReportError, match=r"mistakes\.png cannot be read"):
        open_run(folder)


def test_a_picture_of_another_format_is_refused_before_its_reader_runs(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow reads an EPS by starting Ghostscript, whatever the file is called."""
    from PIL import EpsImagePlugin

    started: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given, **_: started.append(given))
    folder = make_run()
    (folder / "mistakes.png").write_bytes(EPS)
    with pytest.raises(ReportError, match=r"mistakes\.png cannot be read"):
        open_run(folder)
    assert started == []


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
