"""Whose fault it is: code of a model that fights with the process is named in one line, with the code two."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rfcalc.command.blame import sentence
from rfcalc.command.cli import main
from rfcalc.command.options import Options
from rfcalc.errors import one_line, wording

Write = Callable[..., str]

HEAD = "import sys, os, torch\nfrom torch import nn\n"


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


HOSTILE = {
    "result's getattr": (
        HEAD + "class R:\n    def __getattr__(self, name): raise RuntimeError('not this')\n"
        "class Net(nn.Module):\n    def forward(self, x): return R()\n",
        "raises while rfcalc reads its objects, at ",
    ),
    "str": (
        HEAD + "class Bad(Exception):\n    def __str__(self): raise RuntimeError('no text')\n"
        "class Net(nn.Module):\n    def forward(self, x): raise Bad\n",
        "Bad, whose text cannot be had (RuntimeError)",
    ),
    "str while loading": (
        HEAD + "class Bad(Exception):\n    def __str__(self): raise RuntimeError('no text')\nraise Bad\n",
        "raises while it loads at ",
    ),
    "str of what gives up": (
        HEAD + "class Bad(BaseException):\n    def __str__(self): raise RuntimeError('no text')\nraise Bad\n",
        "gives up: Bad, whose text cannot be had",
    ),
    "recursion": (
        HEAD + "class Net(nn.Module):\n    def forward(self, x): return self.forward(x)\n",
        "RecursionError: maximum recursion depth exceeded",
    ),
    "async forward": (
        HEAD + "class Net(nn.Module):\n    async def forward(self, x): return x\n",
        "its forward() is `async def` and returns no tensor; write `def forward`",
    ),
    "async builder": (
        HEAD + "async def build_model(): return nn.ReLU()\n",
        "build_model() of ",
    ),
    "repr of an exit code": (
        HEAD + "class C:\n    def __repr__(self): raise RuntimeError('no')\nsys.exit(C())\n",
        "exits while it loads",
    ),
    "a lowered limit while loading": (
        HEAD + "sys.setrecursionlimit(80)\nimport xml.dom.minidom, asyncio, unittest.mock\n"
        "def f(n): return f(n - 1) if n else 0\nf(200)\nmodel = nn.ReLU()\n",
        "recursion",
    ),
    "a child without a text as its name": (
        HEAD + "class Net(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self._modules[3] = nn.ReLU()\n"
        "    def forward(self, x): return x\n",
        "the modules of Net cannot be listed",
    ),
    "newline in an exception": (
        HEAD + "raise ValueError('one\\ntwo\\x1b[31m\\u2028three')\n",
        r"ValueError: one two\x1b[31m three",
    ),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE)
def test_the_models_code_is_named_in_one_line(
    text: str, message: str, write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sys.getrecursionlimit()
    try:
        assert main([write(text), "--no-budget"]) == 2
    finally:
        sys.setrecursionlimit(before)
    out, err = capfd.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("rfcalc: error: ")
    assert message in last
    assert "bug of rfcalc" not in err
    assert err.isprintable() or set(err) - {"\n"} <= {c for c in err if c.isprintable()}


HARMLESS = {
    "a global that raises on __class__": "class P:\n    @property\n"
    "    def __class__(self): raise RuntimeError('x')\n"
    "p = P()\nmodel = nn.Conv2d(3, 4, 3)\n",
    "a __getattr__ that raises": "class Net(nn.Module):\n"
    "    def __getattr__(self, name):\n        raise RuntimeError('no ' + name)\n"
    "    def forward(self, x): return x + 1\n",
    "a lower limit in forward": "class Net(nn.Conv2d):\n"
    "    def __init__(self): super().__init__(3, 4, 3)\n"
    "    def forward(self, x):\n"
    "        sys.setrecursionlimit(300)\n        return super().forward(x)\n",
    "parameters that are none": "class Net(nn.Module):\n"
    "    def named_parameters(self, *a, **k): return [(1, 2)]\n    def forward(self, x): return x + 1\n",
    "a module without a name": "model = nn.Conv2d(3, 4, 3)\ndel __name__, __file__\n",
    "another folder": "os.chdir('/')\nmodel = nn.Conv2d(3, 4, 3)\n",
    "a low limit left behind": "sys.setrecursionlimit(150)\nmodel = nn.Conv2d(3, 4, 3)\n",
    "Windows line ends": "class Net(nn.Sequential):\r\n    def __init__(self):\r\n"
    "        super().__init__(nn.Conv2d(3, 4, 3))\r\n",
}


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_what_does_no_harm_is_analysed(
    text: str, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sys.getrecursionlimit()
    try:
        assert main([write(HEAD + text), "--no-budget", "--output", "rf.json"]) == 0
    finally:
        sys.setrecursionlimit(before)
    assert (tmp_path / "rf.json").is_file()


def test_an_encoding_that_the_file_declares_is_read(write: Write) -> None:
    path = write("")
    text = "# -*- coding: latin-1 -*-\nname = 'é'\nfrom torch import nn\nmodel = nn.ReLU()\n"
    Path(path).write_bytes(text.encode("latin-1"))
    assert main([path, "--no-budget"]) == 0
    Path(path).write_bytes(b"\xef\xbb\xbffrom torch import nn\nmodel = nn.ReLU()\n")
    assert main([path, "--no-budget"]) == 0


def test_a_fault_of_rfcalc_stays_one() -> None:
    assert sentence(KeyError("a"), Options(("m.py",)), 1000).startswith("this is a bug of rfcalc ")


def test_text_of_an_error_is_one_printable_line() -> None:
    assert one_line("a\nb\r\n\tc\x85d\u2029e\x00\x1b[0m") == "a b c d e\\x00\\x1b[0m"
    assert wording(ValueError()) == "ValueError"
    assert wording(UnspeakableError()) == "UnspeakableError, whose text cannot be had (RuntimeError)"


@pytest.mark.parametrize(
    "arguments",
    [
        ["no\nfile.py"],
        ["a\nb"],
        ["m.py", "--input", "3\n"],
        ["m.py", "--input", "a\nb=3x4x4=7"],
        ["m.py", "--format", "x\ny"],
        ["m.py", "--un\nheard"],
        ["m.py", "--width", "1\n2"],
        ["m.py", "--max-memory", "1\n2"],
        ["m.py", "--columns", "a\nb"],
        ["m.py", "--budget", "a\nb.toml"],
        ["m.py", "--max-params", "a\n"],
        ["m.py", "--arg", "a\nb"],
        ["m.py\x00"],
        [""],
    ],
    ids=repr,
)
def test_a_line_break_in_a_value_makes_no_second_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = main(arguments)
    except SystemExit as caught:
        code = caught.code
    assert code == 2
    error = capsys.readouterr().err
    assert error.startswith("rfcalc: error: ")
    assert error.count("\n") == 1
