"""The table of networks for microcontrollers: the figures are those of the export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.mcu_table import main
from models.arithmetic import figures
from models.presets import PRESETS
from records.files import write_json


def test_a_row_has_the_figures_of_the_closed_forms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = PRESETS["tiny"]
    write_json(tmp_path / "tiny.json", spec.to_json())
    words = [str(tmp_path / "tiny.json"), "--json", str(tmp_path / "rows.json")]
    assert main([*words, "--", "--calibration", "4"]) == 0
    (row,) = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert row["params"] == figures(spec).params
    assert row["macs"] == figures(spec).macs
    assert row["int8"] is None  # fresh weights
    out = capsys.readouterr().out
    assert f"| tiny |  |  | {figures(spec).params:,} | {figures(spec).macs:,} |" in out
    assert f"python -m export {tmp_path / 'tiny.json'} --to c --calibration 4" in out


def test_a_network_that_cannot_be_exported_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nothing")]) == 2
    assert f"mcu_table: error: {tmp_path / 'nothing'}: could not be exported" in capsys.readouterr().err
