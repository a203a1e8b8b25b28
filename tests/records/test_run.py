"""run.json: what it refuses, and files of schema 1, which commit 7dd195b wrote."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from records.codec import RecordError
from records.command_line import settings_of_command
from records.run import RunRecord
from records.settings import RunSettings, settings_of, values_of

SCHEMA1 = Path(__file__).parent / "schema1"


def _value() -> dict[str, Any]:
    value: dict[str, Any] = json.loads((SCHEMA1 / "finished.json").read_text())
    return value


def test_the_settings_of_schema_1_come_from_its_command() -> None:
    record = RunRecord.read(SCHEMA1 / "finished.json")
    assert record.settings == RunSettings(
        preset="tiny",
        data="shapes",
        cache="my cache",
        subset=500,
        epochs=1,
        seed=3,
        device="cpu",
        augment="cpu",
    )
    assert (record.val_accuracy, record.params, record.finished) == (0.113, 97_942, True)
    stopped = RunRecord.read(SCHEMA1.parents[1] / "train" / "stopped_by_7dd195b" / "run.json")
    assert stopped.settings == RunSettings(
        model="net.py", data="shapes", cache="my cache", subset=500, epochs=2, device="cpu"
    )
    assert stopped.source is not None


def test_a_record_survives_json() -> None:
    record = RunRecord.read(SCHEMA1 / "finished.json")
    value = json.loads(json.dumps(record.to_json()))
    assert value["schema"] == 2
    assert RunRecord.from_json(value) == record


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        (None, {}),
        ("", {}),
        (
            "python train.py --from runs/x --resize=24 --full --deterministic --tensorboard --resume",
            {"repeat": "runs/x", "resize": 24, "full": True, "deterministic": True, "tensorboard": True},
        ),
        (
            "python -m search --trials 3 --data images.zip --epochs 2 --resize 9",
            {"data": "images.zip", "resize": 9},
        ),
        ("python train.py --data 'x", None),
        ("python train.py --subset many", None),
        ("python train.py --subset", None),
    ],
)
def test_an_old_command_line_is_read(command: str | None, settings: dict[str, Any] | None) -> None:
    assert settings_of_command(command) == settings
    if command:
        record = RunRecord.from_json(_value() | {"command": command})
        assert record.settings == (None if settings is None else RunSettings(**settings))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"confusion": [[1, -1], [0, 1]]}, r"field 'confusion\[0\]\[1\]' must be a whole number from 0"),
        ({"val_accuracy": 1.01}, "field 'val_accuracy' must be a number from 0 to 1"),
        ({"macs": 10**400}, "field 'macs' must be a whole number from 0 to"),
        ({"seconds": -1.0}, "field 'seconds' must be a number from 0"),
        ({"network": "\udcff"}, "field 'network' must be a text"),
        ({"command": 3}, "field 'command' must be str"),
        ({"command": "python train.py --subset -5"}, "field 'settings.subset' must be a whole number from 1"),
        ({"command": "python train.py --seed -5"}, "field 'settings.seed' must be a whole number from 0"),
        ({"schema": 2, "settings": {"subset": True}}, "field 'settings.subset' must be int, got True"),
        ({"schema": 2, "settings": {"colour": 1}}, "unknown field 'settings.colour'"),
        ({"schema": 3}, "field 'schema' is 3; this version reads 1, 2"),
    ],
)
def test_a_record_that_cannot_be_true_is_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(RecordError, match=text):
        RunRecord.from_json(_value() | change)


def test_settings_are_taken_out_of_options_that_extend_them() -> None:
    settings = RunSettings(preset="wide", seed=4)
    assert settings_of(settings) == settings
    assert list(values_of(settings)) == [each.name for each in fields(RunSettings)]
