"""Notebooks as model files: what runs, what is skipped, and what the report says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rfcalc.command.cli import main
from rfcalc.command.load import build, load_model
from rfcalc.command.notebook import read_notebook
from rfcalc.command.running import importable
from rfcalc.command.target import Target
from rfcalc.errors import LoadError

NET = """class Net(nn.Module):
    def __init__(self, width=WIDTH):
        super().__init__()
        self.c1 = nn.Conv2d(3, width, 3)
    def forward(self, x):
        return self.c1(x)
"""


def notebook(folder: Path, *cells: str, **metadata: Any) -> Path:
    path = folder / "net.ipynb"
    content = {
        "nbformat": 4,
        "metadata": metadata,
        "cells": [
            {"cell_type": "markdown", "source": ["# A title\n", "raise"]},
            *({"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells),
        ],
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_definitions_run_and_the_rest_is_skipped_and_said(tmp_path: Path) -> None:
    path = notebook(
        tmp_path,
        "%matplotlib inline\n!pip install torch\nimport torch\nfrom torch import nn\nlib = !ls\nnn?\n",
        "WIDTH = 2 ** 3\nDEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')\n",
        "%%bash\nrm -rf /nonsense\n",
        "%%time\n" + NET,
        "data = download()\nfor epoch in range(10**9):\n    train(model)\nhistory = fit(Net())\n",
        "import os\nos.remove('nothing')\nraise RuntimeError('it ran')\n",
        "model = Net(WIDTH).to(DEVICE).eval()\n",
        "weights = torch.load('weights.pt')\nmodel.load_state_dict(weights)\n",
    )
    with importable(target := Target.parse(str(path))):
        loaded = build(target, {})
    assert type(loaded.model).__name__ == "Net"
    assert loaded.notes == (
        "notebook: imports and definitions of 5 of 8 code cells ran; "
        "skipped: 6 lines of IPython magic and 7 statements that neither import nor define",
    )


def test_the_report_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = notebook(tmp_path, "%pylab\nfrom torch import nn\nWIDTH = 4\n" + NET)
    assert main([str(path), "--no-budget", "--width", "200"]) == 0
    said = "notebook: imports and definitions of 1 of 1 code cells ran; skipped: 1 line of IPython magic"
    assert said in capsys.readouterr().out
    assert main([str(path), "--no-budget", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [said]


def test_a_name_in_a_notebook_and_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "rfcalc_test_beside.py").write_text("WIDTH = 5\n")
    path = notebook(
        tmp_path,
        "from torch import nn\nfrom rfcalc_test_beside import WIDTH\n",
        NET,
        NET.replace("Net", "Two"),
    )
    assert load_model(f"{path}:Two").c1.out_channels == 5  # type: ignore[union-attr]
    with pytest.raises(LoadError, match=r"defines 2 models \(Net, Two\)"):
        load_model(str(path))


def test_percent_signs_in_texts_and_sums_are_no_magic(tmp_path: Path) -> None:
    cell = "from torch import nn\ntext = '''\n% not magic\n! neither\n'''\nWIDTH = (7\n  ) % 4\n" + NET
    assert read_notebook(notebook(tmp_path, cell)).magics == 0
    assert load_model(str(notebook(tmp_path, cell))).c1.out_channels == 3  # type: ignore[union-attr]


def test_an_error_names_the_cell_and_the_line(tmp_path: Path) -> None:
    path = notebook(tmp_path, "x = 1\n", "\ndef f(:\n")
    with pytest.raises(LoadError, match=r"net\.ipynb, cell 2, line 2: syntax error"):
        load_model(str(path))
    path = notebook(tmp_path, "x = 1\n", "y = 1\nz = x / 0\n")
    with pytest.raises(
        LoadError, match=r"raises while it loads at .*net\.ipynb, cell 2:2: ZeroDivisionError"
    ):
        load_model(str(path))


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{", '{"cells": 3}', '{"cells": [{"cell_type": "code"}]}', "\x00", "[" * 100_000]
)
def test_what_is_no_notebook_is_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "net.ipynb"
    path.write_text(text)
    with pytest.raises(LoadError, match=r"is no notebook: it is not the JSON|holds no model"):
        load_model(str(path))


def test_another_language_is_named(tmp_path: Path) -> None:
    path = notebook(tmp_path, "x <- 1\n", kernelspec={"language": "R"})
    with pytest.raises(LoadError, match="a notebook in R, not in Python"):
        load_model(str(path))
