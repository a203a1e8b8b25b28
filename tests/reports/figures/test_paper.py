from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

import rfcalc
from reports.errors import ReportError
from reports.figures.paper import save_effective, save_figures, save_growth, save_network
from reports.runs import open_run

EXAMPLE = str(Path(__file__).resolve().parents[3] / "examples" / "c1c2c3c4.py")


def test_a_search_has_the_figures_of_its_winner_too(make_search: Callable[..., Path], tmp_path: Path) -> None:
    written = save_figures(open_run(make_search(trials=6)), tmp_path / "figures")
    names = {path.name for path in written}
    assert {"accuracy-params.svg", "winner-receptive-field.svg", "winner-effective-field.png"} <= names
    assert names == {path.name for path in (tmp_path / "figures").iterdir()}


def test_a_training_run_has_curves_confusion_and_its_network(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    written = save_figures(open_run(make_run()), tmp_path / "figures")
    stems = {path.stem for path in written}
    assert stems == {"curves", "confusion", "receptive-field", "effective-field"}


def test_the_growth_names_stages_units_and_the_field(tmp_path: Path) -> None:
    analysis = rfcalc.analyze(rfcalc.load_model(EXAMPLE), input_size=(3, 32, 32))
    save_growth(tmp_path / "a.svg", analysis, "c1c2c3c4 <b>")
    text = (tmp_path / "a.svg").read_text()
    for words in ("input pixels", "image, 32 px", ">c1<", ">c4<", ">63<", "c1c2c3c4 &lt;b&gt;"):
        assert words in text


def test_figures_of_a_network_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    first, second = (save_network(EXAMPLE, None, tmp_path / each) for each in "ab")
    assert [path.name for path in first] == [path.name for path in second]
    for one, other in zip(first, second, strict=True):
        if one.suffix == ".svg":
            assert one.read_bytes() == other.read_bytes()


def test_what_could_not_be_measured_is_said_in_the_figure(tmp_path: Path) -> None:
    analysis = rfcalc.analyze(nn.Conv2d(3, 4, 3), input_size=(3, 8, 8))
    save_effective(tmp_path / "a.svg", analysis, "one layer", images=0)
    assert "not measured" in (tmp_path / "a.svg").read_text()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"--figures .*file: cannot be written"):
        save_network(EXAMPLE, None, tmp_path / "file")
