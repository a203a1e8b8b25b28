"""The command: exit codes, budgets, clean streams, files and the answers to questions."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rfcalc.command.cli import main
from rfcalc.questions.oracle import Mismatch, Verification

ROOT = Path(__file__).resolve().parents[3]

Write = Callable[..., str]


def command(
    *arguments: str, cwd: Path = ROOT, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(env or {})}
    return subprocess.run(
        [sys.executable, "-m", "rfcalc", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


class TestExitCodes:
    def test_without_a_budget_the_code_is_zero(
        self, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([write(), "--no-budget"]) == 0
        assert "receptive field   3 px at c1" in capsys.readouterr().out

    def test_a_held_limit_gives_zero_and_a_broken_one_gives_one(
        self, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([write(), "--max-params", "112"]) == 0
        assert "Within budget: 1 limit held (command line)." in capsys.readouterr().out
        assert main([write(), "--max-params", "111"]) == 1
        assert "Over budget: 1 of 1 limit broken (command line)." in capsys.readouterr().out


class TestBudgetChoice:
    def test_the_nearest_pyproject_above_the_file_judges(
        self, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "pyproject.toml").write_text("[tool.rfcalc]\nmin-receptive-field = 5\n")
        assert main([write()]) == 1
        assert f"({tmp_path / 'pyproject.toml'})" in capsys.readouterr().out.replace("\n", "")

    def test_flags_add_to_the_file_and_go_before_it(self, write: Write, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text("[tool.rfcalc]\nmin-receptive-field = 5\n")
        assert main([write(), "--max-params", "112"]) == 1
        assert main([write(), "--max-params", "112", "--min-receptive-field", "3"]) == 0

    def test_flags_go_before_a_named_file(self, write: Write, tmp_path: Path) -> None:
        budget = tmp_path / "budget.toml"
        budget.write_text("min-receptive-field = 5\nrequire-gap = true\n")
        assert main([write(), "--budget", str(budget)]) == 1
        flags = ["--budget", str(budget), "--min-receptive-field", "3"]
        assert main([write(), *flags]) == 1
        assert main([write(), *flags, "--no-require-gap"]) == 0

    def test_an_unknown_key_is_an_error_that_names_it(
        self, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "pyproject.toml").write_text("[tool.rfcalc]\nmax-parms = 5\n")
        assert main([write()]) == 2
        assert "unknown key 'max-parms'; did you mean 'max-params'?" in capsys.readouterr().err


class TestStreams:
    def test_what_the_file_prints_goes_to_stderr_so_that_json_stays_clean(self, write: Write) -> None:
        path = write(
            "import os\nprint('hello from print')\nos.system('echo hello from a child')\n"
            "from torch import nn\nmodel = nn.Conv2d(3, 4, 3)\n"
        )
        ran = command(path, "--format", "json", "--no-budget")
        assert ran.returncode == 0
        assert json.loads(ran.stdout)["schema"] == 1
        assert "hello from print" in ran.stderr
        assert "hello from a child" in ran.stderr

    def test_a_reader_that_has_had_enough_ends_it_quietly(self, write: Write) -> None:
        run = f"{sys.executable} -m rfcalc {write()} --format json --no-budget"
        shell = f"{run} | head -c 1; echo ${{PIPESTATUS[0]}}"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(
            ["bash", "-c", shell], env=environment, capture_output=True, text=True, check=False
        )
        assert ran.stderr == ""
        assert ran.stdout.strip() in ("{0", "{\n0")

    def test_help_and_version_do_not_import_torch(self) -> None:
        code = "import sys\nfrom rfcalc.command.cli import main\n"
        code += "try: main([sys.argv[1]])\nfinally: print('torch' in sys.modules)"
        for flag in ("--help", "--version"):
            ran = subprocess.run(
                [sys.executable, "-c", code, flag], cwd=ROOT, capture_output=True, text=True, check=False
            )
            assert ran.returncode == 0
            assert ran.stdout.rstrip().endswith("False")

    def test_a_terminal_without_the_characters_gets_question_marks_and_no_crash(
        self, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ascii_out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stdout", ascii_out)
        assert main([write(), "--no-budget"]) == 0
        ascii_out.seek(0)
        assert "????" in ascii_out.read()

    def test_help_says_that_loading_runs_the_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["--help"])
        assert "Loading runs the file" in capsys.readouterr().out


class TestOutput:
    def test_the_suffix_chooses_the_format(self, write: Write, tmp_path: Path) -> None:
        assert main([write(), "--no-budget", "--output", str(tmp_path / "rf.json")]) == 0
        assert json.loads((tmp_path / "rf.json").read_text())["model"] == "Net"
        main([write(), "--no-budget", "--output", str(tmp_path / "rf.csv")])
        assert (tmp_path / "rf.csv").read_text().startswith("layer,op,output,rf")

    def test_a_failed_run_leaves_the_old_file_and_nothing_else(self, write: Write, tmp_path: Path) -> None:
        (tmp_path / "rf.json").write_text("old")
        path = write()
        before = sorted(tmp_path.iterdir())
        assert main([path, "--input", "1x8x8", "--output", str(tmp_path / "rf.json")]) == 2
        assert (tmp_path / "rf.json").read_text() == "old"
        assert sorted(tmp_path.iterdir()) == before

    def test_the_new_file_has_ordinary_rights(self, write: Write, tmp_path: Path) -> None:
        main([write(), "--no-budget", "--output", str(tmp_path / "rf.txt")])
        (tmp_path / "plain").touch()
        assert (tmp_path / "rf.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


class TestQuestions:
    def test_explain_and_lint_answer_instead_of_the_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        example = str(ROOT / "examples" / "decoder.py")
        assert main([example, "--no-budget", "--explain", "head", "--lint", "--width", "100"]) == 0
        out = capsys.readouterr().out
        for part in ("Why head sees what it sees", "What would change head", "checkerboard  up2"):
            assert part in out
        assert "peak activations" not in out

    def test_their_answers_are_in_json_and_markdown_too(self, capsys: pytest.CaptureFixture[str]) -> None:
        example = str(ROOT / "examples" / "decoder.py")
        questions = ["--no-budget", "--explain", "head", "--lint", "--verify", "--erf"]
        assert main([example, *questions, "--format", "json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["explain"]["layer"] == "head"
        assert "checkerboard" in {finding["check"] for finding in found["lint"]}
        assert found["verify"]["agreed"] == found["verify"]["checked"] > 0
        assert len(found["rows"][0]["erf_sigma"]) == 2
        assert main([example, *questions, "--format", "md"]) == 0
        assert "## Lint" in capsys.readouterr().out

    def test_verify_says_how_many_agree(self, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([write(), "--no-budget", "--verify"]) == 0
        assert "3 of 3 units agree with the float64 gradient oracle" in capsys.readouterr().out

    def test_a_disagreement_gives_the_code_one_and_names_the_unit(
        self, write: Write, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wrong = Verification(3, 2, (Mismatch("c1", (0, 1), 4, 5),), ())
        monkeypatch.setattr("rfcalc.command.inspection.verify", lambda model, analysis, seconds: wrong)
        assert main([write(), "--no-budget", "--verify", "--width", "200"]) == 1
        assert "2 of 3 units agree" in (out := capsys.readouterr().out)
        assert "c1 at (0, 1): 4 pixels missing, 5 too many" in out

    def test_erf_adds_a_column_and_the_sigma_of_the_features(
        self, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([write(), "--no-budget", "--erf"]) == 0
        out = capsys.readouterr().out
        assert " erf " in out
        assert "sigma 0.82 px in closed form" in out

    def test_the_map_is_a_picture(
        self, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        pytest.importorskip("matplotlib")
        assert main([write(), "--no-budget", "--erf-map", str(tmp_path / "erf.png")]) == 0
        assert (tmp_path / "erf.png").read_bytes().startswith(b"\x89PNG")
        assert "px measured" in capsys.readouterr().out.replace("\n", " ").replace("  ", "")

    def test_an_unknown_layer_is_one_line(self, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([write(), "--no-budget", "--explain", "c2"]) == 2
        assert "--explain c2: no such layer; did you mean 'c1'?" in capsys.readouterr().err


class TestTargets:
    def test_this_projects_example_is_within_this_projects_budget(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(ROOT / "examples" / "c1c2c3c4.py")]) == 0
        assert "Within budget: 7 limits held" in capsys.readouterr().out

    def test_a_module_target_with_arguments(self, capsys: pytest.CaptureFixture[str]) -> None:
        flags = ["--arg", "weights=None", "--input", "3x64x64", "--no-budget", "--format", "json"]
        assert main(["torchvision.models:resnet18", *flags]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["field"]["size"] == [435, 435]
        assert found["params"] == 11_689_512

    def test_a_forward_may_import_a_neighbour(self, write: Write) -> None:
        write("def double(x):\n    return x * 2\n", "rfcalc_test_helpers.py")
        text = """
            from torch import nn
            class Net(nn.Module):
                def forward(self, x):
                    from rfcalc_test_helpers import double
                    return double(x)
        """
        assert main([write(text), "--no-budget"]) == 0

    def test_train_mode_is_passed_on(self, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
        path = write("from torch import nn\nmodel = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))\n")
        assert main([path, "--no-budget", "--train", "--format", "json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["mode"] == "train"
        assert found["rows"][-1]["field"]["is_global"]
