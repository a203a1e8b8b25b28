from collections.abc import Callable
from pathlib import Path

import pytest

from records.trial import TrialRecord
from reports.errors import ReportError
from reports.figures.search import save_accuracy, save_all, save_importances, save_learning_curves
from reports.runs import open_search


def test_every_figure_is_written_as_png_and_svg(make_search: Callable[..., Path], tmp_path: Path) -> None:
    written = save_all(open_search(make_search(trials=12)), tmp_path / "figures")
    assert sorted(path.name for path in written) == sorted(
        path.name for path in (tmp_path / "figures").iterdir()
    )
    assert {path.stem for path in written} == {
        *(
            "accuracy-params",
            "accuracy-macs",
            "learning-curves",
            "importances",
            "winner-curves",
            "winner-confusion",
        )
    }


def test_accuracy_names_its_axes_states_and_the_winner(
    make_trial: Callable[..., TrialRecord], tmp_path: Path
) -> None:
    trials = [make_trial(number) for number in range(20)]
    complete = [trial for trial in trials if trial.state == "complete"]
    save_accuracy(tmp_path / "a.svg", trials, "macs", complete[0].number, "shapes (drawn)")
    text = (tmp_path / "a.svg").read_text()
    for words in (
        "validation accuracy (%)",
        "multiply-accumulates",
        f"complete ({len(complete)})",
        "winner",
        "shapes (drawn)",
    ):
        assert words in text


def test_figures_are_the_same_bytes_each_time(make_trial: Callable[..., TrialRecord], tmp_path: Path) -> None:
    trials = [make_trial(number) for number in range(6)]
    for name in ("a.svg", "b.svg"):
        save_learning_curves(tmp_path / name, trials, trials[0].number)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_figure_with_nothing_to_draw_says_so(tmp_path: Path) -> None:
    save_accuracy(tmp_path / "a.svg", [], "params", None)
    assert "no trial has an accuracy" in (tmp_path / "a.svg").read_text()
    save_importances(tmp_path / "b.svg", {})
    assert "too few trials were completed" in (tmp_path / "b.svg").read_text()


def test_importances_are_drawn_with_their_numbers(tmp_path: Path) -> None:
    save_importances(tmp_path / "a.svg", {"c1_width": 0.25, "c2_width": 0.75})
    text = (tmp_path / "a.svg").read_text()
    assert "0.750" in text
    assert "c1_width" in text


def test_a_folder_that_cannot_be_written_is_named(make_search: Callable[..., Path]) -> None:
    folder = make_search(trials=3)
    with pytest.raises(ReportError, match=r"--figures .* cannot be written"):
        save_all(open_search(folder), folder / "search.json")
