"""TFLite of a run; litert-torch is an extra of its own, without which there is one line."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from export import __main__ as command
from export.__main__ import main

WHY = "the extra `tflite` is not installed"


def test_without_the_extra_one_line_names_it(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert main([str(trained_run), "--to", "tflite", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        'export: error: litert_torch is not installed; install it with pip install -e ".[app,tflite]"\n'
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow  # the converter takes 10 s
@pytest.mark.skipif(importlib.util.find_spec("litert_torch") is None, reason=WHY)
@pytest.mark.filterwarnings("ignore")  # of the converter's own code
def test_the_file_answers_as_torch(trained_run: Path, tmp_path: Path) -> None:
    from export.onnx_file import run_torch
    from export.subject import open_subject
    from export.tflite_file import run_tflite

    assert main([str(trained_run), "--to", "tflite", "--split", "test", "--out", str(tmp_path / "out")]) == 0
    part = json.loads((tmp_path / "out" / "export.json").read_text())["parts"]["tflite"]
    assert part["parity"]["largest_difference"] < 1e-3
    assert part["accuracy"] == part["reference"]
    subject = open_subject(str(trained_run))
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    found = run_tflite(tmp_path / "out" / "model.tflite", images)
    np.testing.assert_allclose(found, run_torch(subject, images), atol=1e-3)
