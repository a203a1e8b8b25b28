"""The gate: several networks a call, bases, growth, and what is wrong usage."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from rfcalc.command.cli import main
from tests.rfcalc.command.gate_projects import NET, SMALL, git
from tests.rfcalc.command.gate_projects import project as project
from tests.rfcalc.command.gate_projects import repository as repository

Capture = pytest.CaptureFixture[str]


class TestSeveral:
    def test_a_call_without_a_target_checks_what_is_listed(self, project: Path, capsys: Capture) -> None:
        assert main([]) == 0
        out = capsys.readouterr().out
        assert out.splitlines()[-1] == "Within budget: all limits of 2 networks held."
        assert "the wide one" in out

    def test_the_own_limit_of_a_network_goes_before_the_common_one(
        self, project: Path, capsys: Capture
    ) -> None:
        path = project / "pyproject.toml"
        path.write_text(path.read_text().replace("max-params = 1_100\n", ""))
        assert main([]) == 1
        out = capsys.readouterr().out
        assert "over by 428 (71 %)" in out  # 448 + 580 = 1,028 of 600

    def test_it_is_found_from_a_folder_below(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (project / "deep").mkdir()
        monkeypatch.chdir(project / "deep")
        assert main(["--quiet"]) == 0

    def test_several_targets_are_checked_in_one_call(self, project: Path, capsys: Capture) -> None:
        assert main(["small.py", "wide.py", "--format", "json"]) == 1
        found = json.loads(capsys.readouterr().out)
        assert found["schema"] == 1
        assert [network["params"] for network in found["networks"]] == [516, 1028]
        assert found["ok"] is False

    def test_one_that_fails_leaves_the_others_and_gives_the_code_two(
        self, project: Path, capsys: Capture
    ) -> None:
        (project / "wide.py").write_text("raise KeyError('x')\n")
        assert main(["--format", "csv"]) == 2
        out, err = capsys.readouterr()
        assert out.splitlines()[1].startswith("small.py,c1,conv,8x30x30,3")
        assert err.count("\n") == 1
        assert "KeyError" in err

    def test_quiet_prints_what_is_broken_and_the_verdict(self, project: Path, capsys: Capture) -> None:
        assert main(["small.py", "wide.py", "--quiet"]) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[-1] == "1 of 2 networks over budget, 1 limit broken."
        assert not any("small.py" in line for line in lines)
        assert main(["small.py", "--quiet", "--width", "400"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 1


class TestFlags:
    def test_a_flag_replaces_the_limit_of_its_name_and_leaves_the_others(
        self, project: Path, capsys: Capture
    ) -> None:
        (project / "pyproject.toml").write_text("[tool.rfcalc]\nmax-params = 600\nrequire-gap = true\n")
        assert main(["small.py", "--max-params", "500", "--format", "json"]) == 1
        verdict = json.loads(capsys.readouterr().out)["verdict"]
        assert verdict["margins"] == {"max_params": 16, "require_gap": 1}
        assert verdict["budget"].endswith("pyproject.toml and command line")
        assert main(["small.py", "--no-require-gap"]) == 0

    def test_in_a_narrow_terminal_no_limit_is_cut(self, project: Path, capsys: Capture) -> None:
        words = ["--max-peak-activation-bytes", "1000", "--max-macs", "17_000_000_000", "--width", "72"]
        assert main(["small.py", *words, "--quiet"]) == 1
        out = capsys.readouterr().out
        assert "…" not in out
        assert "max-peak-activation-bytes" in out
        assert "BROKEN" in out

    def test_a_limit_may_have_a_unit(self, project: Path) -> None:
        assert main(["small.py", "--max-macs", "500k", "--max-params", "0.5k"]) == 1
        assert main(["small.py", "--max-macs", "500k", "--max-params", "1k"]) == 0


class TestAgainst:
    def test_growth_over_a_commit_breaks_the_limit_and_shows_the_delta(
        self, repository: Path, capsys: Capture
    ) -> None:
        (repository / "small.py").write_text(NET.format(width=9, kernel=3))
        words = ["small.py", "--against", "before", "--width", "120"]
        assert main([*words, "--max-params-growth", "2%"]) == 1
        out = capsys.readouterr().out
        # 9 channels: 252 + 328 = 580 parameters, 64 more than 516; 2 % are 10.
        assert "params 516 580 +64 (+12.4 %)" in " ".join(out.split())
        assert "over by 54" in out
        assert main([*words, "--max-params-growth", "64"]) == 0

    def test_nothing_is_left_of_the_worktree(self, repository: Path) -> None:
        assert main(["--against", "before", "--quiet"]) == 0
        ran = subprocess.run(["git", "worktree", "list"], capture_output=True, text=True, check=True)
        assert len(ran.stdout.splitlines()) == 1

    def test_the_base_uses_its_own_neighbours(self, repository: Path, capsys: Capture) -> None:
        (repository / "blocks.py").write_text("WIDTH = 8\n")
        (repository / "net.py").write_text(
            "from torch import nn\nimport blocks\nmodel = nn.Conv2d(3, blocks.WIDTH, 1)\n"
        )
        git(repository, "add", ".")
        git(repository, "commit", "-q", "-m", "second")
        (repository / "blocks.py").write_text("WIDTH = 10\n")
        for target in ("net.py", "net:model"):
            assert main([target, "--against", "HEAD", "--format", "json"]) == 0
            found = json.loads(capsys.readouterr().out)["against"]
            assert (found["figures"]["params"], found["now"]["params"]) == (32, 40)

    def test_a_network_that_the_base_lacks_is_new_and_not_judged(
        self, repository: Path, capsys: Capture
    ) -> None:
        (repository / "new.py").write_text(SMALL)
        assert main(["new.py", "--against", "HEAD", "--max-params-growth", "0%"]) == 0
        assert "It is not in the base." in capsys.readouterr().out

    def test_a_json_of_an_earlier_call_is_a_base(self, repository: Path, capsys: Capture) -> None:
        assert main(["--format", "json", "--output", "before.json"]) == 0
        (repository / "wide.py").write_text(SMALL)
        words = ["--against", "before.json", "--max-receptive-field-loss", "0", "--format", "json"]
        assert main([*words, "--max-params-growth", "0%"]) == 0
        (repository / "wide.py").write_text(NET.format(width=16, kernel=5))
        assert main(["--against", "before.json", "--max-macs-growth", "1 %", "--max-params", "9k"]) == 1
        assert "max-macs-growth" in capsys.readouterr().out

    def test_the_file_may_name_the_base(self, repository: Path) -> None:
        path = repository / "pyproject.toml"
        text = path.read_text()
        path.write_text(
            text.replace("[tool.rfcalc]\n", '[tool.rfcalc]\nagainst = "main"\nmax-macs-growth = "0%"\n')
        )
        assert main(["--quiet"]) == 0
        (repository / "small.py").write_text(NET.format(width=8, kernel=5))
        assert main(["--quiet", "--max-params", "2k"]) == 1


class TestWrongUsage:
    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["--against", "nowhere"], "--against nowhere: no such branch, tag or commit in"),
            (["--against", "none.json"], "--against none.json: No such file"),
            (["small.py", "small.py"], "small.py is named twice"),
            (["small.py", "--max-parms=5"], "did you mean '--max-params'?"),
            (["small.py", "--max-params", "5 furlongs"], "'5 furlongs' is not a whole number"),
            (["small.py", "--max-params-growth", "5 furlongs", "--against", "HEAD"], "must be a share such"),
            (["small.py", "--max-params-growth", "2%"], "max-params-growth has no base to compare with"),
            (["small.py", "wide.py", "--explain", "c1"], "--explain takes one network"),
        ],
    )
    @pytest.mark.parametrize("form", ["table", "sarif", "junit", "github"])
    def test_it_is_one_line_and_a_whole_file(
        self, words: list[str], told: str, form: str, repository: Path, capsys: Capture
    ) -> None:
        try:
            code = main([*words, "--format", form])
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        assert code == 2
        assert told in err
        assert err.count("\n") == 1
        if form == "sarif":
            note = json.loads(out)["runs"][0]["invocations"][0]["toolExecutionNotifications"][0]
            assert told in note["message"]["text"]
        elif form == "junit":
            error_of_case = ElementTree.fromstring(out).find(".//error")
            assert error_of_case is not None
            assert told in error_of_case.attrib["message"]
        elif form == "github":
            assert out.startswith("::error title=rfcalc")
        else:
            assert out == ""

    def test_a_base_that_cannot_be_analysed_says_which_side(self, repository: Path, capsys: Capture) -> None:
        (repository / "small.py").write_text("raise KeyError('x')\n")
        git(repository, "commit", "-q", "-a", "-m", "broken")
        (repository / "small.py").write_text(SMALL)
        assert main(["small.py", "--against", "HEAD"]) == 2
        assert "the base HEAD (" in (err := capsys.readouterr().err)
        assert "cannot be analysed: small.py raises while it loads" in err

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ('[[tool.rfcalc.network]]\ntarget = "a.py"\n' * 2, "network 'a.py' is listed twice"),
            ("[[tool.rfcalc.network]]\nmax-params = 1\n", "network 1 has no target"),
            ('[[tool.rfcalc.network]]\ntarget = "a.py"\nmax-parms = 1\n', "did you mean 'max-params'?"),
            ('[tool.rfcalc]\nmax-params = "5 ells"\n', "max-params must be a whole number"),
            ('[tool.rfcalc]\nmax-params-growth = "5 ells"\n', "max-params-growth must be a share"),
            ("[tool.rfcalc]\nforbid-ops = 3\n", "forbid-ops must be a list of names"),
            ('[tool.rfcalc]\ndtype = "int4"\n', "dtype must be one of float32, float16, int8"),
            ("[tool.rfcalc\n", "is not valid TOML"),
            ("[tool.rfcalc]\nmax-params = 1\n", "lists none"),
        ],
    )
    def test_a_file_that_is_wrong_is_one_line(
        self, text: str, told: str, project: Path, capsys: Capture
    ) -> None:
        (project / "pyproject.toml").write_text(text)
        assert main([]) == 2
        err = capsys.readouterr().err
        assert told in err
        assert err.count("\n") == 1
