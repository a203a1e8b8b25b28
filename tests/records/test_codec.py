import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from records.codec import Record, RecordError
from records.run import EpochRecord
from records.search import TrialRecord, write_trials_csv


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
        "number,state,score,params,macs,receptive_field,c1_width,epochs,seconds,attempt,seed,reason"
    )
    assert lines[1] == "1,complete,0.5,90000,10,55,24,1,1.25,2,5,"
    assert len(lines) == 3


def test_the_csv_of_no_trials_has_its_header(tmp_path: Path) -> None:
    write_trials_csv(tmp_path / "trials.csv", [])
    assert (tmp_path / "trials.csv").read_text() == "number,state,score,params,macs,receptive_field\n"
