"""benchmarks/gpu.py in its reduced form: it must not wait for a GPU to be run for the first time."""

import json
import shlex
from types import ModuleType

import pytest

PARTS = ["plain", "compile_off", "compile_graphs", "compile_on", "best", "waiting", "to_87", "record"]


@pytest.fixture
def script(load) -> ModuleType:
    return load("gpu")


@pytest.fixture
def found(script, images, tmp_path) -> dict:
    output = tmp_path / "gpu.json"
    # On a busy machine, too, no part may be left out for want of time.
    flags = f"--data {images} --cache {tmp_path / 'cache'} --device cpu --minutes 99 --output {output}"
    assert script.main(shlex.split(flags)) == 0
    return json.loads(output.read_text(encoding="utf-8"))


def test_every_part_says_what_it_found_or_why_not(found):
    assert found["reduced"] is True
    assert found["environment"]["device"] == "cpu"
    assert set(PARTS) <= set(found)
    for name in ("plain", "compile_off", "best", "waiting"):
        assert found[name]["epoch_seconds"] > 0, found[name]
    assert "graphs records CUDA graphs, but the device is cpu" in found["compile_graphs"]["error"]
    assert "skipped" in found["compile_on"]
    assert found["best"]["compile"] == "off"
    plain, best = found["plain"]["epoch_seconds"], found["best"]["epoch_seconds"]
    assert found["best"]["times_as_fast_as_the_plain_loop"] == pytest.approx(plain / best)
    assert 0 <= found["waiting"]["share_for_getting_batches"] < 1
    assert found["to_87"]["goal"] == 0.87
    for name in ("to_87", "record"):
        assert 0 <= found[name]["test_accuracy"] <= 1, found[name]
        assert found[name]["network"] == "tiny"
        assert len(found[name]["epochs"]) == 1


def test_a_part_that_fails_costs_that_part_alone(script, monkeypatch):
    def broken(job: object) -> dict:
        raise RuntimeError("CUDA error:\n  device-side assert")

    monkeypatch.setitem(script.PARTS, "plain", (broken, 1.0))
    job = script.Job("x", "y", "cpu", True, 5.0, {})
    result = script.run_here("plain", job)
    assert result.pop("part_seconds") >= 0
    assert result == {"error": "RuntimeError: CUDA error: device-side assert"}


def test_a_process_that_dies_or_hangs_is_reported(script, monkeypatch):
    job = script.Job("no such data", "y", "cpu", True, 5.0, {})

    def run(words, timeout, **more):
        if timeout < 35.5:
            raise script.subprocess.TimeoutExpired(words, timeout)
        return script.subprocess.CompletedProcess(words, -9, "", "Killed")

    monkeypatch.setattr(script.subprocess, "run", run)
    assert script.run_apart("plain", job) == {"error": "took longer than 35 s"}
    longer = script.Job("no such data", "y", "cpu", True, 50.0, {})
    assert script.run_apart("plain", longer) == {"error": "ended with code -9: Killed"}


@pytest.mark.parametrize(
    ("flags", "text"),
    [("--device gpu", "there is no device 'gpu'"), ("--data nowhere", "--data nowhere: no such folder")],
)
def test_what_cannot_be_had_is_one_line(script, tmp_path, capsys, flags, text):
    output = tmp_path / "gpu.json"
    assert script.main([*flags.split(), "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"gpu.py: error: {text}")
    assert error.count("\n") == 1
    assert not output.exists()
