"""The screenshots of the documentation: the script that takes them, and those that are kept."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPT = DOCS / "figures" / "screenshots.py"
PICTURES = sorted((DOCS / "figures" / "pages").glob("*.png"))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPT.parents[2]))
    description = importlib.util.spec_from_file_location("screenshots", SCRIPT)
    assert description is not None
    assert description.loader is not None
    module = importlib.util.module_from_spec(description)
    # The dataclass of a scene looks its module up.
    monkeypatch.setitem(sys.modules, "screenshots", module)
    description.loader.exec_module(module)
    return module


def test_every_scene_is_kept_in_every_size_and_theme(script: ModuleType) -> None:
    names = {
        f"{scene.name}-{width}-{theme}.png"
        for scene in script.SCENES
        for width, _ in script.SIZES
        for theme in ("light", "dark")
    }
    assert {path.name for path in PICTURES} == names


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_small_has_its_size_and_is_shown(path: Path) -> None:
    assert path.stat().st_size < 150_000
    with Image.open(path) as picture:
        assert picture.size in ((1280, 800), (390, 844))
        assert f"-{picture.width}-" in path.name
        corner = picture.convert("L").getpixel((2, 2))
    assert (corner < 64) == path.stem.endswith("dark")
    assert f"(figures/pages/{path.name})" in (DOCS / "reports.md").read_text(encoding="utf-8")


def test_without_a_browser_it_says_so_in_one_line(
    script: ModuleType,
    make_climb: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    output = tmp_path / "pictures"
    assert script.main([str(make_climb(trials=6)), "--output", str(output)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("screenshots.py: error: no browser: none of chromium, ")
    assert not output.exists()


def test_a_search_on_photographs_is_refused(
    script: ModuleType, make_climb: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_climb(trials=6)
    record = json.loads((folder / "search.json").read_text())
    record["dataset"] |= {"kind": "cifar10", "title": "CIFAR-10"}
    (folder / "search.json").write_text(json.dumps(record))
    assert script.main([str(folder), "--output", str(tmp_path / "pictures")]) == 2
    assert "is a search on CIFAR-10; the pictures show the built-in shapes alone" in capsys.readouterr().err


@pytest.mark.slow
def test_it_takes_every_picture(script: ModuleType, make_climb: Callable[..., Path], tmp_path: Path) -> None:
    if not any(map(shutil.which, script.PROGRAMS)):
        pytest.skip(f"no browser: none of {', '.join(script.PROGRAMS)} is installed")
    output = tmp_path / "pictures"
    assert script.main([str(make_climb()), "--output", str(output)]) == 0
    assert {path.name for path in output.iterdir()} == {path.name for path in PICTURES}
