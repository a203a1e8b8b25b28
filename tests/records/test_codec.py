import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from records.codec import Count, Record, RecordError, Share
from records.run import EpochRecord
from records.trial import TrialRecord, write_trials_csv


@dataclass(frozen=True)
class Inner:
    size: tuple[int, int]


@dataclass(frozen=True)
class Outer(Record):
    name: str
    share: float
    inner: Inner
    many: tuple[Inner, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    note: str | None = None
    number: Count = 0
    shares: dict[str, Share] = field(default_factory=dict)
    grid: tuple[tuple[Count, ...], ...] = ()
    values: dict[str, int | float | str] = field(default_factory=dict)


GOOD = {"schema": 1, "name": "a", "share": 1, "inner": {"size": [3, 4]}}


def _trial(number: int = 0, attempt: int = 1, **changes: object) -> TrialRecord:
    epoch = EpochRecord(1, 2.0, 0.25, 1.5, 0.5, 0.1, 3.0)
    record = TrialRecord(
        number=number, attempt=attempt, state="complete", spec={"a": 1}, recipe={}, seed=5,
        values={"c1_width": 24}, params=90_000, macs=10, receptive_field=55, margins={"max_params": -9.0},
        score=0.5, seconds=1.25, epochs=(epoch,),
    )  # fmt: skip
    return replace(record, **changes)  # type: ignore[arg-type]


def test_a_record_survives_json() -> None:
    trial = _trial(reason="because")
    assert TrialRecord.from_json(json.loads(json.dumps(trial.to_json()))) == trial


def test_missing_optional_fields_take_their_defaults() -> None:
    outer = Outer.from_json(GOOD)
    assert outer == Outer("a", 1.0, Inner((3, 4)))
    assert isinstance(outer.share, float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, r"field 'schema' is 2; this version reads 1"),
        ({"nam": "x"}, r"unknown field 'nam'"),
        ({"name": 5}, r"field 'name' must be str, got 5"),
        ({"share": "much"}, r"field 'share' must be float, got 'much'"),
        ({"share": 10**400}, r"field 'share' must be a number below 1e308, got 10000"),
        ({"share": True}, r"field 'share' must be float, got True"),
        ({"inner": {"size": [3]}}, r"field 'inner.size' must be 2 values, got \[3\]"),
        ({"inner": {"size": [3, "x"]}}, r"field 'inner.size\[1\]' must be int, got 'x'"),
        ({"inner": {}}, r"field 'inner.size' is missing"),
        ({"many": [{"size": [1, 2]}, 7]}, r"field 'many\[1\]' must be an object, got 7"),
        ({"counts": {"a": None}}, r"field 'counts.a' must be int, got None"),
        ({"note": 3}, r"field 'note' must be str, got 3"),
        ({"schema": "1"}, r"field 'schema' is '1'; this version reads 1"),
        ({"schema": True}, r"field 'schema' is True; this version reads 1"),
        ({"schema": [1]}, r"field 'schema' is \[1\]; this version reads 1"),
        ({"name": "a\ud800"}, r"field 'name' must be a text \(it holds a lone surrogate\), got 'a.ud800'"),
        ({"share": float("nan")}, r"field 'share' must be a finite number, got nan"),
        ({"share": float("inf")}, r"field 'share' must be a finite number, got inf"),
        ({"number": -1}, r"field 'number' must be a whole number from 0 to 9223372036854775807, got -1"),
        ({"number": 2**63}, r"field 'number' must be a whole number from 0 to"),
        ({"number": 1.0}, r"field 'number' must be int, got 1.0"),
        ({"shares": {"cat": 1.5}}, r"field 'shares.cat' must be a number from 0 to 1, got 1.5"),
        ({"shares": {"cat": -1}}, r"field 'shares.cat' must be a number from 0 to 1, got -1"),
        ({"grid": [[1, 2], [3, -4]]}, r"field 'grid\[1\]\[1\]' must be a whole number from 0"),
        ({"values": {"width": float("inf")}}, r"field 'values.width' must be a finite number, got inf"),
        ({"values": {"width": [1]}}, r"field 'values.width' must be int or float or str, got \[1\]"),
        ({"values": {"width": True}}, r"field 'values.width' must be int or float or str, got True"),
    ],
)
def test_an_error_names_the_field(change: dict[str, object], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        Outer.from_json(GOOD | change)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(GOOD)[:-4])
    with pytest.raises(RecordError, match=r"run.json: is not complete JSON"):
        Outer.read(path)
    for number in ("NaN", "-Infinity", "1e999", "9" * 5000):
        path.write_text(json.dumps(GOOD).replace('"share": 1', f'"share": {number}'))
        with pytest.raises(RecordError, match=r"run.json: is not complete JSON"):
            Outer.read(path)
    path.write_text("[" * 200_000)
    with pytest.raises(RecordError, match=r"run.json: is not complete JSON"):
        Outer.read(path)
    with pytest.raises(RecordError, match=r"none.json: cannot be read \(No such file"):
        Outer.read(tmp_path / "none.json")


def test_the_csv_has_a_row_a_trial_with_its_newest_attempt(tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    failed = _trial(1, state="failed", score=None, reason="out of memory")
    write_trials_csv(path, [_trial(2), failed, _trial(1, attempt=2)])
    lines = path.read_text().splitlines()
    assert lines[0] == (
        "number,state,score,loss,params,macs,receptive_field,c1_width,epochs,seconds,attempt,seed,reason"
    )
    assert lines[1] == "1,complete,0.5,1.5,90000,10,55,24,1,1.25,2,5,"
    assert len(lines) == 3


def test_the_csv_of_no_trials_has_its_header(tmp_path: Path) -> None:
    write_trials_csv(tmp_path / "trials.csv", [])
    assert (tmp_path / "trials.csv").read_text() == "number,state,score,loss,params,macs,receptive_field\n"


@dataclass(frozen=True)
class Loose(Record):
    SCHEMA: ClassVar[int] = 3
    OLDER: ClassVar[tuple[int, ...]] = (1, 2)

    anything: Any

    @classmethod
    def upgraded(cls, schema: int, value: dict[str, Any]) -> dict[str, Any]:
        return {"anything": [schema, value.get("old")]}


def test_an_older_file_is_read_as_this_version(tmp_path: Path) -> None:
    assert Loose.from_json({"schema": 2, "old": 5}) == Loose([2, 5])
    assert Loose.from_json({"schema": 3, "anything": 5}) == Loose(5)
    with pytest.raises(RecordError, match=r"field 'schema' is 4; this version reads 1, 2, 3"):
        Loose.from_json({"schema": 4, "anything": 5})


@pytest.mark.parametrize("value", ['"\\ud800"', '{"a": ["\\uDFFF"]}', '{"\\udc00": 1}'])
def test_half_a_character_anywhere_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(f'{{"schema": 3, "anything": {value}}}')
    with pytest.raises(RecordError, match=r"a.json: holds half of a character"):
        Loose.read(path)
    path.write_text('{"schema": 3, "anything": "\\ud83d\\ude00 \\\\ud800"}')  # a pair is a character
    assert Loose.read(path).anything == "\U0001f600 \\ud800"
