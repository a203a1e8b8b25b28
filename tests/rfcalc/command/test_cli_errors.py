"""The command and what goes wrong: one clear line, the code 2, for everything that a user can get wrong."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import Mock

import pytest

from rfcalc.command.cli import main

NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(3, 4, 3)
    def forward(self, x):
        return self.c1(x)
"""

Write = Callable[..., str]


class TestBadInput:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("def f(:\n", "syntax error"),
            ("x = 1\n", "holds no model"),
            (
                NET + "class Tiny(nn.Module): pass\n",
                "defines 2 models (Net, Tiny); choose one: python -m rfcalc",
            ),
            ("from torch import nn\nclass Net(nn.Module):\n    def __init__(self, n): pass\n", "--arg n=..."),
            ("import sys; sys.exit(0)\n", "exits while it loads (sys.exit(0) at"),
            ("raise RuntimeError('broken')\n", "raises while it loads at"),
            (
                NET.replace("return self.c1(x)", "raise KeyError('nope')"),
                "forward() of Net failed with shapes",
            ),
            (NET.replace("return self.c1(x)", "raise SystemExit(4)"), "exits while it runs: sys.exit(4)"),
            (NET.replace("return self.c1(x)", "return 3"), "forward() of Net returned no tensor but int"),
            (NET.replace("(self, x)", "(self, x, y)"), "missing 1 required positional argument: 'y'"),
        ],
        ids=["syntax", "none", "several", "arguments", "exit", "raises", "key", "exits", "number", "second"],
    )
    def test_a_file_that_is_no_model_is_one_line_and_the_code_two(
        self, text: str, message: str, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([write(text)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("rfcalc: error: ")
        assert message in said.err
        assert said.err.count("\n") == 1

    def test_a_wrong_input_names_the_layer_the_shapes_and_the_flag(
        self, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([write(), "--input", "1x8x8"]) == 2
        error = capsys.readouterr().err
        for part in ("'c1'", "(1, 1, 8, 8)", "--input"):
            assert part in error

    @pytest.mark.parametrize("size", ["3x0x8", "axbxc", "", "3x-1x4"])
    def test_an_impossible_input_size_is_wrong_usage(
        self, size: str, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            main([write(), "--input", size])
        assert caught.value.code == 2
        assert "rfcalc: error: " in capsys.readouterr().err

    @pytest.mark.parametrize("size", ["3", "3x8x8x8x8"])
    def test_an_input_with_too_few_or_too_many_axes_is_refused(
        self, size: str, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([write(), "--input", size]) == 2
        assert "rfcalc: error: " in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (["--max-params", "many"], "argument --max-params: 'many' is not a whole number"),
            (["--max-params", "-3"], "max-params must be a whole number >= 0, but got -3"),
            (["--format", "xml"], "argument --format: invalid choice: 'xml'"),
            (["--no-budget", "--stages", "4"], "--no-budget goes with no limit"),
            (["--width", "3"], "argument --width: at least 40, but got 3"),
            (["--unheard-of"], "unrecognized arguments: --unheard-of"),
        ],
        ids=lambda value: value[0] if isinstance(value, list) else "",
    )
    def test_wrong_usage_is_one_line_and_the_code_two(
        self, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["model.py", *flags])
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (["--columns", "parms"], "--columns: no column 'parms'; did you mean 'params'?"),
            (["--arg", "weights"], "--arg weights: write name=value"),
            (["--output", "no/such/folder/rf.json"], "there is no folder no/such/folder; make it first"),
            (["--budget", "no.toml"], "cannot read the budget no.toml: No such file or directory"),
        ],
        ids=lambda value: value[0] if isinstance(value, list) else "",
    )
    def test_what_is_found_out_later_is_one_line_too(
        self, flags: list[str], message: str, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([write(), *flags]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1

    def test_debug_shows_the_traceback(self, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([write("raise RuntimeError('broken')\n"), "--debug"]) == 2
        assert "Traceback (most recent call last)" in capsys.readouterr().err


class TestCodeThatGivesUp:
    def test_an_exception_that_is_no_exception_is_one_line_too(
        self, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        target = write("class Skipped(BaseException): pass\nraise Skipped('not here')")
        assert main([target]) == 2
        assert capsys.readouterr().err == f"rfcalc: error: the code of {target} gives up: Skipped: not here\n"

    def test_a_file_with_null_bytes_has_no_line_to_name(
        self, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([write("x = 1\0")]) == 2
        error = capsys.readouterr().err
        assert "null bytes" in error
        assert "line None" not in error


class TestOwnFaults:
    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (
                MemoryError(),
                "not enough memory; on the unbounded plane a smaller --input has the same fields",
            ),
            (RuntimeError("DefaultCPUAllocator: can't allocate memory: 80 GB"), "not enough memory;"),
            (KeyError("a"), "this is a bug of rfcalc "),
        ],
    )
    def test_one_line_and_the_code_two(
        self,
        error: Exception,
        told: str,
        write: Write,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("rfcalc.command.inspection.inspect", Mock(side_effect=error))
        assert main([write(), "--no-budget"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"rfcalc: error: {told}")
        assert err.count("\n") == 1
