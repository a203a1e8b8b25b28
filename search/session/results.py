"""The winner's network as files, and the budget's verdict on what those files build."""

import textwrap
from pathlib import Path

import rfcalc
from models.source import standalone_source
from models.spec import NetSpec
from records.files import write_json, write_text
from records.search import LimitRecord


def write_network(folder: Path, spec: NetSpec, outcome: str | None = None) -> None:
    """Write the winner's spec.json and its standalone model.py, which begins with the search's outcome."""
    write_json(folder / "spec.json", spec.to_json())
    said = "".join(f"# {line}\n" for line in textwrap.wrap(outcome or "", 100))
    write_text(folder / "model.py", said + standalone_source(spec))


def verdict_of(
    model_file: Path, budget: rfcalc.Budget, input_size: tuple[int, int, int]
) -> tuple[LimitRecord, ...]:
    """Judge what the file model.py builds: it, and not the spec that it was made from, is passed on."""
    analysis = rfcalc.analyze(rfcalc.load_model(str(model_file)), input_size=input_size)
    verdict = rfcalc.judge(analysis, budget)
    return tuple(
        LimitRecord(
            name=limit.name,
            limit=limit.bound,
            value=limit.value,
            margin=float(limit.margin or 0),
            holds=limit.held,
        )
        for limit in verdict.limits
    )
