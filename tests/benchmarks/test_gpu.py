"""benchmarks/gpu.py in its reduced form: it must not wait for a GPU to be run for the first time."""

import json
import shlex
from pathlib import Path
from types import ModuleType

import pytest

PARTS = ["plain", "epochs", "to_87", "gang", "candidates", "record"]


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
    plain, ours = found["plain"], found["epochs"]["residual 16"]
    assert plain["epoch_seconds"] > 0
    assert ours["plain_loop_over_ours"] == pytest.approx(plain["epoch_seconds"] / ours["epoch_seconds"])
    assert 0 < ours["first_step_seconds"] < 60
    assert ours["compile"] == "off"
    assert found["epochs"]["wide 16"]["epoch_seconds"] > 0
    (seed,) = found["to_87"]["seeds"]
    assert seed["reached"] is None or seed["reached"]["val_accuracy"] >= 0.87
    assert len(seed["epochs"]) == 1
    for size in (1, 2):
        assert found["gang"][f"{size} at 16"]["images_per_second"] > 0
        assert found["gang"][f"{size} at 16"]["failed"] == []
    assert found["candidates"]["failed"] == []
    assert len(found["candidates"]["val_accuracy"]) == found["candidates"]["candidates"] == 3
    assert 0 <= found["record"]["test_accuracy"] <= 1
    assert len(found["record"]["epochs"]) == 1
    assert all("error" not in found[name] for name in PARTS)
    times = [found[name]["done_after_seconds"] for name in PARTS]
    assert times == sorted(times)


def test_one_part_can_be_asked_for(script, images, tmp_path):
    output = tmp_path / "gpu.json"
    flags = f"--data {images} --cache {tmp_path / 'cache'} --device cpu --only plain --output {output}"
    assert script.main(shlex.split(flags)) == 0
    assert [name for name in json.loads(output.read_text()) if name in PARTS] == ["plain"]


def test_time_to_the_goal_counts_from_the_start(script):
    from benchmarks.gpu_parts import reached
    from records.run import EpochRecord

    accuracies = (0.5, 0.86, 0.871, 0.9)
    epochs = [EpochRecord(n, 1.0, 0.5, 1.0, each, 0.1, 2.0) for n, each in enumerate(accuracies, 1)]
    assert reached(epochs, 1.5) == {"seconds": 7.5, "epoch": 3, "val_accuracy": 0.871}
    assert reached(epochs[:2]) is None


def test_a_part_that_fails_costs_that_part_alone(script, monkeypatch):
    def broken(job: object, keep) -> dict:
        keep({"first": 3})
        raise RuntimeError("CUDA error:\n  device-side assert")

    monkeypatch.setitem(script.PARTS, "plain", (broken, 1.0))
    job = script.Job("x", "y", "cpu", True, 5.0, {})
    result = script.run_here("plain", job)
    assert result.pop("part_seconds") >= 0
    assert result == {"first": 3, "error": "RuntimeError: CUDA error: device-side assert"}


def test_a_process_that_dies_or_hangs_is_reported(script, monkeypatch):
    job = script.Job("no such data", "y", "cpu", True, 5.0, {})

    def run(words, timeout, **more):
        Path(words[-1]).write_text('{"first": 3}')
        if timeout < 20:
            raise script.subprocess.TimeoutExpired(words, timeout)
        return script.subprocess.CompletedProcess(words, -9, "", "Killed")

    monkeypatch.setattr(script.subprocess, "run", run)
    assert script.run_apart("plain", job) == {"first": 3, "error": "took longer than 17 s"}
    longer = script.Job("no such data", "y", "cpu", True, 50.0, {})
    assert script.run_apart("plain", longer) == {"first": 3, "error": "ended with code -9: Killed"}


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
