"""benchmarks/step_speed.py: what it measures, not how fast that is."""

import json
import os
import platform
from pathlib import Path

import pytest

from models.presets import PRESETS

pytest.importorskip("resource", reason="counts page faults as Unix does")
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator here is not glibc's")


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    """Whatever the user of these tests has told glibc's allocator."""
    for name in os.environ:
        if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES":
            monkeypatch.delenv(name)


@glibc
def test_networks_take_turns_in_processes_of_their_own(load, monkeypatch, capsys):
    script = load("step_speed")
    asked = []

    def measure_apart(name, memory, options):
        asked.append((name, memory))
        return script.Cost(milliseconds=10.0 * len(asked), page_faults=len(asked))

    monkeypatch.setattr(script, "measure_apart", measure_apart)
    monkeypatch.setenv("COLUMNS", "120")
    assert script.main(["tiny", "wide", "--rounds", "3"]) == 0
    turn = [(name, way) for name in ("tiny", "wide") for way in ("returned", "kept")]
    assert asked == turn * 3
    row = next(line for line in capsys.readouterr().out.splitlines() if "tiny" in line and "97,942" in line)
    assert "50.0 (10.0 to 90.0)" in row
    assert "60.0 (20.0 to 100.0)" in row


@pytest.mark.slow
@glibc
def test_a_network_from_a_file_is_trained_and_timed(load, tmp_path):
    script = load("step_speed")
    path = tmp_path / "net.json"
    path.write_text(json.dumps(PRESETS["tiny"].to_json()), encoding="utf-8")
    options = script.argparse.Namespace(steps=4, batch=64, precision="float32")
    returned, kept = (script.measure_apart(str(path), way, options) for way in ("returned", "kept"))
    assert min(returned.milliseconds, kept.milliseconds) > 0
    assert kept.page_faults < returned.page_faults


@pytest.mark.parametrize("words", [[], ["--memory", "kept"], ["--memory", "kept", "--here"]])
def test_an_allocator_that_keeps_nothing_is_one_line(load, monkeypatch, capsys, words):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    assert load("step_speed").main(["tiny", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    way = words[1] if words else "both"
    assert printed.err.startswith(f"step_speed: error: --memory {way}: this allocator")
    assert printed.err.rstrip().endswith("use --memory returned")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("text", [None, "[", '{"name": "x"}'])
def test_what_is_no_network_is_one_line(load, tmp_path, capsys, text):
    path = Path(tmp_path / "none.json")
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert load("step_speed").main([str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"step_speed: error: {path}")
    assert error.count("\n") == 1
