"""Standalone files: they run alone, hold the same network, and formatters leave them as they are."""

from __future__ import annotations

import ast
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.arithmetic import figures
from models.net import build
from models.presets import PRESETS
from models.source import standalone_source
from models.spec import NetSpec

SETTINGS = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def load(source: str, folder: Path) -> ModuleType:
    path = folder / "model.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("standalone_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(spec: NetSpec, folder: Path) -> None:
    module, network = load(standalone_source(spec), folder), build(spec).eval()
    alone = module.build_model().eval()
    alone.load_state_dict(network.state_dict(), strict=True)
    images = torch.randn(2, *spec.input_size)
    assert torch.equal(alone(images), network(images))


@pytest.mark.parametrize("name", PRESETS)
def test_weights_of_presets_load_into_their_files(name, tmp_path):
    check(PRESETS[name], tmp_path)


def test_weights_of_every_kind_and_option_load_into_the_file(everything, tmp_path):
    check(everything, tmp_path)


@SETTINGS
@given(data=st.data())
def test_weights_of_random_networks_load_into_their_files(data, specs, tmp_path):
    check(data.draw(specs), tmp_path)


def test_the_file_runs_where_this_project_is_not(everything, tmp_path):
    (tmp_path / "model.py").write_text(standalone_source(everything), encoding="utf-8")
    code = "import model, torch; print(model.build_model().eval()(torch.zeros(1, 3, 32, 32)).shape[1])"
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.'); {code}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "10"


def test_the_file_imports_torch_alone(everything):
    tree = ast.parse(standalone_source(everything))
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    roots = {name.split(".")[0] for node in imports for name in modules_of(node)}
    assert roots == {"__future__", "torch"}


def modules_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]


def test_nothing_unused_is_copied():
    source = standalone_source(PRESETS["tiny"])
    assert "class SplitDepthwise" not in source
    assert "import torch\n" not in source


@pytest.mark.parametrize("name", PRESETS)
def test_the_header_holds_the_figures_and_the_spec(name):
    spec, facts = PRESETS[name], figures(PRESETS[name])
    header = ast.get_docstring(ast.parse(standalone_source(spec)))
    assert f"Parameters       {facts.params:,}" in header
    assert f"MACs             {facts.macs:,}" in header
    assert f"Receptive field  {facts.receptive_field[0]} x {facts.receptive_field[1]} pixels" in header
    assert NetSpec.from_json(json.loads(header[header.index("{") :])) == spec


@settings(SETTINGS, max_examples=4)
@given(data=st.data())
def test_formatters_and_linters_leave_the_file_as_it_is(data, specs, tmp_path):
    ruff = Path(sys.executable).with_name("ruff")
    command = str(ruff) if ruff.exists() else shutil.which("ruff")
    if command is None:
        pytest.skip("ruff is not installed")
    path = tmp_path / "model.py"
    path.write_text(standalone_source(data.draw(specs)), encoding="utf-8")
    for length in ("88", "110"):
        settings_of = ["--isolated", "--line-length", length, str(path)]
        subprocess.run([command, "format", "--check", "--quiet", *settings_of], check=True)
        subprocess.run([command, "check", "--quiet", "--select", "E,F,I,W", *settings_of], check=True)
