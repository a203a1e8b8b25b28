from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from PIL import Image

from records.trial import TrialRecord
from reports.figures.training import save_confusion, save_curves, save_mistakes

NAMES = ("cat", "a$b$c", "<script>alert(1)</script>", "\u8239")


@pytest.fixture
def epochs(make_trial: Callable[..., TrialRecord]) -> tuple[object, ...]:
    return next(trial.epochs for trial in map(make_trial, range(9)) if trial.state == "complete")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_curves_are_the_same_bytes_each_time(tmp_path: Path, epochs: tuple, suffix: str) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    save_curves(first, epochs)
    save_curves(second, epochs)
    assert first.read_bytes() == second.read_bytes()


def test_curves_name_their_axes_and_units(tmp_path: Path, epochs: tuple) -> None:
    path = tmp_path / "curves.svg"
    save_curves(path, epochs)
    text = path.read_text()
    for words in ("accuracy (%)", "cross-entropy (nats)", "epoch", "validation", "train (augmented)"):
        assert words in text


def test_a_run_without_an_epoch_says_so(tmp_path: Path) -> None:
    save_curves(tmp_path / "curves.svg", [])
    assert "no epoch was finished" in (tmp_path / "curves.svg").read_text()


def test_confusion_states_the_accuracy_and_prints_names_as_they_are(tmp_path: Path) -> None:
    counts = numpy.array([[8, 2, 0, 0], [0, 10, 0, 0], [0, 0, 5, 5], [0, 0, 0, 0]])
    save_confusion(tmp_path / "confusion.svg", counts, NAMES)
    text = (tmp_path / "confusion.svg").read_text()
    assert "76.67 % of 30 images right" in text  # (8 + 10 + 5) / 30
    assert "a$b$c" in text
    assert "<script>" not in text
    assert "&lt;script" in text


def test_confusion_refuses_a_matrix_that_does_not_fit_the_names(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="confusion matrix of 4 classes is 4 x 4"):
        save_confusion(tmp_path / "confusion.png", [[1, 2], [3, 4]], NAMES)
    assert list(tmp_path.iterdir()) == []


def test_many_classes_are_drawn_without_counts(tmp_path: Path) -> None:
    save_confusion(tmp_path / "confusion.png", numpy.eye(40, dtype=int), [f"class {n}" for n in range(40)])
    with Image.open(tmp_path / "confusion.png") as drawn:
        assert drawn.width > 1000


def test_mistakes_show_the_surest_wrong_answers_only(tmp_path: Path) -> None:
    images = numpy.zeros((4, 8, 8, 3), dtype=numpy.uint8)
    save_mistakes(tmp_path / "m.svg", images, [0, 1, 2, 0], [1, 1, 0, 2], [0.7, 0.99, 0.9, 0.5], NAMES)
    text = (tmp_path / "m.svg").read_text()
    assert "99 %" not in text  # that answer is right
    assert text.index("90 %") < text.index("70 %") < text.index("50 %")


def test_a_run_without_mistakes_says_so(tmp_path: Path) -> None:
    save_mistakes(tmp_path / "m.svg", numpy.zeros((1, 8, 8, 3), dtype=numpy.uint8), [0], [0], [0.9], NAMES)
    assert "no mistakes" in (tmp_path / "m.svg").read_text()
