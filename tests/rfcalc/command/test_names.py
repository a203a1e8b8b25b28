"""Networks by name, run folders and JSON files, through the catalogue that a pyproject.toml names."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from models.arithmetic import figures
from models.presets import PRESETS
from rfcalc.command.cli import main
from rfcalc.command.load import load_model
from rfcalc.command.names import catalogue_near, did_you_mean
from rfcalc.command.target import Target
from rfcalc.errors import BudgetError, LoadError, RfcalcError

ZOO = """
import json
from dataclasses import dataclass
@dataclass
class Entry:
    kind: str
    input_size: tuple
    width: int
    def build(self, depth=1):
        from torch import nn
        return nn.Sequential(*[nn.Conv2d(self.input_size[0], self.width, 3) for _ in range(depth)])
NETWORKS = {"small": Entry("zoo network", (1, 16, 16), 4), "large-2": Entry("zoo network", (3, 64, 64), 8)}
def read(path):
    content = json.loads(path.read_text())
    if "width" not in content:
        raise ValueError(f"{path}: has no width")
    return Entry("description", (3, 20, 20), content["width"])
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text('[tool.rfcalc]\nnames = "zoo_of_tests"\nmax-params = 1000\n')
    (tmp_path / "zoo_of_tests.py").write_text(ZOO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_name_is_found_built_and_judged(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["large-2", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["params"] == 8 * 27 + 8
    assert found["rows"][0]["output_shape"] == [8, 62, 62]
    assert main(["large-2@3x10x10", "--format", "json", "--arg", "depth=1"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["output_shape"] == [8, 8, 8]
    assert main(["large-2", "--input", "3x20x20", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["output_shape"] == [8, 18, 18]


def test_names_are_looked_up_in_the_folder_of_a_listed_network(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert Target.parse("small", project).own_size == (1, 16, 16)


def test_looking_a_name_up_leaves_no_module_behind(project: Path) -> None:
    before = set(sys.modules)
    assert Target.parse("small").named == "small"
    assert "zoo_of_tests" not in set(sys.modules) - before


def test_a_file_goes_before_a_name_and_a_name_before_a_module(project: Path) -> None:
    (project / "small.py").write_text("from torch import nn\nmodel = nn.ReLU()\n")
    assert Target.parse("small").named == "small"
    (project / "small").write_text("")
    with pytest.raises(LoadError, match="small is no Python file"):
        Target.parse("small")


def test_without_a_door_of_its_own_a_folder_has_the_names_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.rfcalc]\nmax-params = 1000\n")
    monkeypatch.chdir(tmp_path)
    assert Target.parse("resnet50_catdog").input_size == (3, 224, 224)
    model = load_model("tiny")
    assert sum(each.numel() for each in model.parameters()) == figures(PRESETS["tiny"]).params


def test_a_json_file_is_read_by_the_door_and_nothing_of_it_is_run(project: Path) -> None:
    (project / "net.json").write_text('{"width": 5}')
    assert load_model("net.json")[0].out_channels == 5
    assert Target.parse("net.json").own_size == (3, 20, 20)
    (project / "bad.json").write_text("{}")
    with pytest.raises(LoadError, match=r"bad\.json: has no width"):
        Target.parse("bad.json")
    with pytest.raises(LoadError, match="leave the name out"):
        load_model("net.json:Net")


def test_a_run_folder_has_the_size_of_its_images(tmp_path: Path) -> None:
    spec = PRESETS["tiny"].to_json() | {"input_size": [3, 64, 64]}
    best = tmp_path / "best"
    best.mkdir()
    (best / "run.json").write_text(json.dumps({"schema": 2, "spec": spec}))
    target = Target.parse(str(tmp_path))
    assert (target.own_size, target.described) == ((3, 64, 64), (best / "run.json").resolve())
    assert target.path == target.described
    (best / "model.py").write_text("from torch import nn\nmodel = nn.ReLU()\n")
    target = Target.parse(str(tmp_path))
    assert (target.own_size, target.path) == ((3, 64, 64), (best / "model.py").resolve())


def test_a_run_that_keeps_neither_spec_nor_source_names_what_built_it(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"schema": 2, "spec": null, "target": "net.py:Net"}')
    with pytest.raises(LoadError, match=r"name what built the network: net\.py:Net"):
        Target.parse(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("smal", r"no file, run folder, network or module .*; did you mean small \(zoo network\)\?"),
        ("large_2", r"did you mean large-2 \(zoo network\)\?"),
        ("modle.py", r"no such file; did you mean model\.py\?"),
        ("exampels/net.py", r"no such file; did you mean examples/net\.py\?"),
        ("specs.json", r"did you mean spec\.json\?"),
        ("frist-run", r"did you mean runs/train/first-run \(run folder\)\?"),
        ("runs/train/frist-run", r"no such file; did you mean runs/train/first-run"),
        ("torchvison", r"did you mean torchvision \(package\)\?"),
        ("nothing_near_it", r"networks with a name: small, large-2$"),
        ("small@3yy", "--input 3yy: write channels x height x width"),
    ],
)
def test_an_unknown_name_is_met_with_the_nearest_of_all_kinds(project: Path, text: str, near: str) -> None:
    (project / "model.py").write_text("")
    (project / "spec.json").write_text("{}")
    (project / "examples").mkdir()
    (project / "examples" / "net.py").write_text("")
    (project / "runs" / "train" / "first-run").mkdir(parents=True)
    with pytest.raises((LoadError, ValueError), match=near):
        Target.parse(text)


def test_a_misspelt_package_is_met_with_its_name() -> None:
    with pytest.raises(LoadError, match=r"does not import: .*; did you mean torchvision \(package\)\?"):
        load_model("torchvison.models:resnet18")


def test_where_nothing_is_near_nothing_is_suggested(tmp_path: Path) -> None:
    assert did_you_mean("qqqqqqqq/wwwww.py", tmp_path) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise ImportError('broken')", "is no module of named networks: ImportError: broken"),
        ("", "is no module of named networks: AttributeError: .*NETWORKS"),
        ("1 / 0", "is no module of named networks: ZeroDivisionError"),
    ],
)
def test_a_door_that_leads_nowhere_is_named(project: Path, text: str, message: str) -> None:
    (project / "zoo_of_tests.py").write_text(text)
    with pytest.raises(LoadError, match=message):
        Target.parse("small")


@pytest.mark.parametrize("value", ["1", '"a b"', '["x"]', '""'])
def test_a_door_that_is_no_module_is_refused(project: Path, value: str) -> None:
    (project / "pyproject.toml").write_text(f"[tool.rfcalc]\nnames = {value}\n")
    with pytest.raises(BudgetError, match=r"names must be a module such as models\.catalogue"):
        catalogue_near(project)
    assert main(["zoo_of_tests.py"]) == 2


def test_a_name_is_judged_by_the_budget_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.rfcalc]\nmax-params = 1000\n")
    monkeypatch.chdir(tmp_path)
    assert main(["tiny"]) == 1
    assert "1 of 1 limit broken" in capsys.readouterr().out


def test_a_misspelt_file_imports_nothing(project: Path) -> None:
    (project / "zoo_of_tests.py").write_text("open('ran', 'w')\n")
    with pytest.raises(LoadError, match="no such file"):
        Target.parse("modl.py")
    assert not (project / "ran").exists()


def test_a_module_of_the_same_name_is_set_aside(project: Path) -> None:
    other = project / "other"
    other.mkdir()
    (other / "zoo_of_tests.py").write_text("from torch import nn\nmodel = nn.ReLU()\n")
    sys.modules.pop("zoo_of_tests", None)
    sys.path.insert(0, str(other))
    try:
        import zoo_of_tests  # type: ignore[import-not-found]

        assert load_model("small")[0].out_channels == 4
        assert sys.modules["zoo_of_tests"] is zoo_of_tests
    finally:
        sys.path.remove(str(other))
        sys.modules.pop("zoo_of_tests", None)


def test_the_place_of_a_target_with_a_size_is_its_file(project: Path) -> None:
    (project / "net.py").write_text("from torch.nn import Module\nclass A(Module): pass\n")
    assert Target.parse("net.py:C@1x28x28").place == "net.py"
    with pytest.raises(LoadError, match=r"net\.py has no 'C'; .*net\.py:A@1x28x28"):
        load_model("net.py:C@1x28x28")


def test_a_size_that_is_given_twice_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["small@1x9x9", "--input", "1x8x8"]) == 2
    assert "the size is given twice, after the @ and by --input" in capsys.readouterr().err


def test_a_text_too_long_for_a_path_is_one_line(project: Path) -> None:
    with pytest.raises(RfcalcError):
        Target.parse("x@" + "9" * 300)


def test_a_module_above_the_current_folder_is_found(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "blocks9.py").write_text("from torch import nn\nmodel = nn.ReLU()\n")
    (project / "sub").mkdir()
    monkeypatch.chdir(project / "sub")
    assert Target.parse("blocks9").module == "blocks9"


def test_the_application_builds_a_network_of_another_catalogue_from_its_name(project: Path) -> None:
    from search.errors import SearchError
    from search.propose.target import spec_named
    from training.command.network import _of_target

    assert _of_target("small").target == "small"
    with pytest.raises(SearchError, match="no spec describes it"):
        spec_named("--base", "small", "its widths cannot be searched")
    with pytest.raises(SearchError, match="the images decide the size"):
        spec_named("--base", "small@1x9x9", "its widths cannot be searched")
