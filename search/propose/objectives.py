"""What is searched for: accuracy, alone or together with small cost."""

from collections.abc import Sequence
from typing import Literal

from models.flash import flash
from models.spec import NetSpec
from records.search import FrontPoint
from records.trial import TrialRecord

Direction = Literal["maximize", "minimize"]

OBJECTIVES: dict[str, Direction] = {
    "loss": "minimize",
    "accuracy": "maximize",
    "macs": "minimize",
    "params": "minimize",
    "flash": "minimize",
}
"""What `--objectives` takes, with the direction of each; loss and accuracy are of the validation images,
flash is what the int8 C code stores."""


def directions(objectives: Sequence[str]) -> list[Direction]:
    """Return the direction of each objective, as Optuna calls it."""
    return [OBJECTIVES[name] for name in objectives]


def reached(record: TrialRecord, objectives: Sequence[str]) -> list[float]:
    """Return what a complete trial reached of each objective."""
    assert record.score is not None
    known = {
        "loss": record.loss,
        "accuracy": record.score,
        "macs": float(record.macs),
        "params": float(record.params),
    }
    if "flash" in objectives:  # of the spec: a record of an earlier version has it too
        stored = flash(NetSpec.from_json(record.spec))
        assert stored is not None  # --limit int8, which the objective brings along
        known["flash"] = float(stored.total)
    found = [known[name] for name in objectives]
    assert all(value is not None for value in found)
    return [value for value in found if value is not None]


def front(records: Sequence[TrialRecord], objectives: Sequence[str]) -> tuple[FrontPoint, ...]:
    """Return the complete trials that no other beats, the most accurate first; of equals the first."""
    ended = [record for record in records if record.state == "complete" and record.score is not None]
    signs = [1 if OBJECTIVES[name] == "maximize" else -1 for name in objectives]
    values = {record.number: reached(record, objectives) for record in ended}
    points = {
        number: [sign * value for sign, value in zip(signs, found, strict=True)]
        for number, found in values.items()
    }
    best = [record for record in ended if not any(_beats(points[n], points[record.number]) for n in points)]
    found = {
        tuple(points[record.number]): FrontPoint(
            record.number,
            record.score or 0.0,
            record.params,
            record.macs,
            dict(zip(objectives, values[record.number], strict=True)),
        )
        for record in reversed(best)
    }
    return tuple(sorted(found.values(), key=lambda point: (-point.score, point.number)))


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
