"""The gate: formats of other programs, a first table, what differs between two, what would mend one."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from rfcalc.command.cli import main
from tests.rfcalc.command.gate_projects import WIDE
from tests.rfcalc.command.gate_projects import project as project
from tests.rfcalc.command.gate_projects import repository as repository

Capture = pytest.CaptureFixture[str]


class TestFormats:
    def test_github_names_the_class_of_the_layer_and_adds_to_the_summary(
        self, project: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project / "summary.md"))
        assert main(["small.py", "--max-params", "500", "--format", "github"]) == 1
        first, *_, last = capsys.readouterr().out.splitlines()
        assert first.startswith("::error file=small.py,line=5,title=rfcalc%3A small.py breaks max-params::")
        assert last.startswith("Over budget: 1 of 1 limit broken")
        summary = (project / "summary.md").read_text()
        assert "over by 16 (3.2 %)" in summary

    def test_sarif_is_that_of_its_schema(self, project: Path, capsys: Capture) -> None:
        model = pytest.importorskip("pydantic_sarif.model")
        words = ["small.py", "wide.py", "--max-macs", "1", "--format", "sarif"]
        assert main(words) == 1
        text = capsys.readouterr().out
        names = [name for name in vars(model) if name.startswith("StaticAnalysisResults")]
        parsed = getattr(model, names[0]).model_validate_json(text)
        assert len(parsed.runs[0].results) == 3
        place = json.loads(text)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
        assert place == {"artifactLocation": {"uri": "small.py"}, "region": {"startLine": 5}}

    def test_junit_counts_limits_and_failures(self, project: Path, capsys: Capture) -> None:
        words = ["small.py", "--max-params", "1", "--stages", "4", "--forbid-max-pool", "--format", "junit"]
        assert main(words) == 1
        (suite,) = ElementTree.fromstring(capsys.readouterr().out)
        counts = {key: suite.attrib[key] for key in ("tests", "failures", "errors", "skipped")}
        # The family c1, c2 counts two stages of four.
        assert counts == {"tests": "3", "failures": "2", "errors": "0", "skipped": "0"}


class TestInit:
    def test_the_table_holds_the_figures_of_today_and_is_checked_then(
        self, project: Path, capsys: Capture
    ) -> None:
        (project / "pyproject.toml").write_text("[project]\nname = 'x'")
        assert main(["small.py", "wide.py:Net", "--init"]) == 0
        assert "next  python -m rfcalc  " in capsys.readouterr().out
        text = (project / "pyproject.toml").read_text()
        assert text.startswith("[project]\nname = 'x'\n")
        assert 'target = "small.py"\ninput = "3x32x32"\nmin-receptive-field = 5\nmax-params = 516\n' in text
        assert main(["--quiet"]) == 0
        (project / "small.py").write_text(WIDE)
        assert main(["--quiet"]) == 1

    def test_what_is_listed_already_is_refused(self, project: Path, capsys: Capture) -> None:
        before = (project / "pyproject.toml").read_text()
        assert main(["small.py", "--init"]) == 2
        assert "lists small.py already" in capsys.readouterr().err
        assert (project / "pyproject.toml").read_text() == before


class TestDiff:
    def test_layers_are_paired_by_structure_though_all_names_are_shifted(
        self, project: Path, capsys: Capture
    ) -> None:
        text = "from torch import nn\nmodel = nn.Sequential({})\n"
        layers = "nn.Conv2d(3, 8, 3), {}nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1)"
        (project / "a.py").write_text(text.format(layers.format("")))
        (project / "b.py").write_text(text.format(layers.format("nn.Conv2d(8, 8, 5), ")))
        assert main(["diff", "a.py", "b.py", "--format", "json"]) == 1
        found = json.loads(capsys.readouterr().out)["layers"]
        pairs = [(one["before"], one["after"]) for one in found]
        assert pairs == [("0", "0"), (None, "1"), ("1", "2"), ("2", "3")]
        assert main(["diff", "a.py", "b.py", "--width", "100"]) == 1
        assert "1 added" in capsys.readouterr().out

    def test_the_same_twice_gives_zero(self, project: Path, capsys: Capture) -> None:
        assert main(["diff", "small.py", "small.py"]) == 0
        assert "No difference in 2 layers." in capsys.readouterr().out

    def test_a_side_that_fails_is_named(self, project: Path, capsys: Capture) -> None:
        (project / "wide.py").write_text("raise KeyError('x')\n")
        assert main(["diff", "small.py", "wide.py"]) == 2
        assert "the second network, wide.py: " in capsys.readouterr().err


class TestSuggest:
    def test_every_suggestion_holds_and_the_cheapest_comes_first(
        self, project: Path, capsys: Capture
    ) -> None:
        words = ["small.py", "--min-receptive-field", "7", "--suggest", "--format", "json"]
        assert main(words) == 1
        found = json.loads(capsys.readouterr().out)["suggest"]["found"]
        # The padding follows the dilation, so that the maps keep their sizes and it costs nothing.
        assert found[0]["changes"] == ["c1: dilation 1 to 2"]
        assert found[0]["params"] == 516
        assert all(one["receptive_field"] >= 7 and one["params"] <= 600 for one in found)
        assert [one["cost"] for one in found] == sorted(one["cost"] for one in found)

    def test_none_within_two_changes_is_an_answer(self, project: Path, capsys: Capture) -> None:
        assert main(["small.py", "--max-params", "10", "--suggest"]) == 1
        assert "None within two changes (" in capsys.readouterr().out

    def test_it_needs_a_budget(self, project: Path, capsys: Capture) -> None:
        assert main(["small.py", "--no-budget", "--suggest"]) == 2
        assert "--suggest needs limits" in capsys.readouterr().err
