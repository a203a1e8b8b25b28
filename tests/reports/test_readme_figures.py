import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from records.files import write_json
from records.search import SearchRecord

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "figures" / "make.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPT.parents[2]))
    description = importlib.util.spec_from_file_location("readme_figures", SCRIPT)
    assert description is not None
    assert description.loader is not None
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module


def write(folder: Path, kind: str) -> Path:
    """Say that the search in `folder` ran on a data set of another kind."""
    record = SearchRecord.read(folder / "search.json").to_json()
    record["dataset"]["kind"] = kind
    write_json(folder / "search.json", record)
    return folder


def test_three_figures_are_drawn_as_svg_and_png(
    script: ModuleType, make_search: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = write(make_search(trials=6), "archive"), tmp_path / "figures"
    assert script.main([str(folder), "--output", str(output)]) == 0
    assert {path.name for path in output.iterdir()} == {
        f"{name}{suffix}" for name in script.NAMES for suffix in (".svg", ".png")
    }
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_a_search_on_shapes_is_refused_and_nothing_is_drawn(
    script: ModuleType, make_search: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = write(make_search(trials=6), "shapes"), tmp_path / "figures"
    assert script.main([str(folder), "--output", str(output)]) == 2
    assert "is a search on shapes; the README shows one on real images" in capsys.readouterr().err
    assert not output.exists()
