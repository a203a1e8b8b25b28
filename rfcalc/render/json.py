"""Report -> JSON, schema 1 (docs/rfcalc.md): the facts under the names that they have in Python."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rfcalc._version import __version__
from rfcalc.analysis.coverage import worst_share

if TYPE_CHECKING:
    from rfcalc.analysis.budget import Verdict
    from rfcalc.analysis.result import Analysis, Row
    from rfcalc.maps.field import Field
    from rfcalc.render.report import Outcome, Report

SCHEMA = 1


def to_json(report: Report) -> str:
    """The report as one JSON object, every row in it, with its last newline."""
    return _dumped(report_object(report))


def _dumped(content: dict[str, Any]) -> str:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    # A list of numbers or names reads better on one line; a JSON string has no line break inside.
    return re.sub(r"\[\n[^][{}]*\n *\]", _on_one_line, text) + "\n"


def all_to_json(outcomes: Sequence[Outcome]) -> str:
    """Several networks as one JSON object, with its last newline."""
    networks = [
        {"schema": SCHEMA, "name": outcome.name, "target": outcome.target, "error": outcome.error}
        if outcome.report is None
        else report_object(outcome.report)
        for outcome in outcomes
    ]
    ok = not any(outcome.code for outcome in outcomes)
    return _dumped({"schema": SCHEMA, "rfcalc": __version__, "ok": ok, "networks": networks})


def _on_one_line(found: re.Match[str]) -> str:
    return "[" + ", ".join(line.strip(" ,") for line in found[0].splitlines()[1:-1]) + "]"


def report_object(report: Report) -> dict[str, Any]:
    """The report as plain lists, dicts, texts and numbers."""
    analysis = report.analysis
    return {
        "schema": SCHEMA,
        "rfcalc": __version__,
        "target": report.target,
        "model": report.model,
        "mode": "train" if report.train else "eval",
        "input_size": list(analysis.input_size),
        "params": analysis.params,
        "trainable_params": analysis.trainable_params,
        "macs": analysis.macs,
        "uncounted": list(analysis.uncounted),
        "uncounted_macs": analysis.uncounted_macs,
        "count_all": analysis.count_all,
        "peak_activation_bytes": analysis.peak_activation_bytes,
        "field": field_object(analysis.field),
        "field_row": analysis.field_row,
        "field_rivals": list(analysis.field_rivals),
        "output": field_object(analysis.output),
        "outputs": {name: field_object(field) for name, field in analysis.outputs.items()},
        "structure": dataclasses.asdict(analysis.structure),
        "peak_bytes": analysis.peak_bytes,
        "weight_bytes": analysis.weight_bytes,
        "verdict": verdict_object(report.verdict, report.budget_source),
        **_given(report),
        **_answers(report),
        "rows": [
            {**row_object(row), **({"erf_sigma": list(report.sigmas[row.index])} if report.sigmas else {})}
            for row in analysis.rows
        ],
    }


def _given(report: Report) -> dict[str, Any]:
    """What is there only where forward() takes several inputs or branches on values, or a note is due."""
    analysis = report.analysis
    given: dict[str, Any] = {}
    if len(analysis.graph.given) > 1:
        given["inputs"] = [
            {
                "name": name,
                "given": str(one),
                **({} if name not in analysis.inputs else _view_object(analysis.inputs[name])),
            }
            for name, one in zip(analysis.graph.names, analysis.graph.given, strict=True)
        ]
    if analysis.graph.asks:
        given["branches"] = {
            "places": list(dict.fromkeys(ask.place for ask in analysis.graph.asks)),
            "others": [{**_view_object(run), "macs": run.macs} for run in analysis.others],
            "all_followed": not analysis.graph.unexplored,
        }
    if analysis.graph.sized:
        given["sized_by_values"] = list(dict.fromkeys(analysis.graph.sized))
    if analysis.graph.left:
        given["leaves_pytorch"] = list(dict.fromkeys(analysis.graph.left))
    if analysis.graph.drawn:
        given["drawn_outside_pytorch"] = True
    if report.notes:
        given["notes"] = list(report.notes)
    return given


def _view_object(view: Analysis) -> dict[str, Any]:
    return {
        "field": field_object(view.field),
        "outputs": {name: field_object(field) for name, field in view.outputs.items()},
    }


def _answers(report: Report) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    if report.name:
        answers["name"] = report.name
    if report.base is not None:
        before = report.base.figures
        answers["against"] = {
            "base": report.base.label,
            "figures": None if before is None else dataclasses.asdict(before),
            "now": None if report.figures is None else dataclasses.asdict(report.figures),
        }
    if report.suggestions is not None:
        answers["suggest"] = dataclasses.asdict(report.suggestions)
    if report.findings is not None:
        answers["lint"] = [dataclasses.asdict(finding) for finding in report.findings]
    if report.explanation is not None:
        explanation = report.explanation
        answers["explain"] = {
            "layer": explanation.row.name,
            "global_by": explanation.global_by,
            "steps": [{"layer": step.row.name, "adds": list(step.adds)} for step in explanation.steps],
            "what_ifs": [dataclasses.asdict(what_if) for what_if in explanation.what_ifs],
        }
    if report.verification is not None:
        answers["verify"] = dataclasses.asdict(report.verification)
    if report.measured is not None:
        answers["measured_erf_sigma"] = list(report.measured)
    return answers


def row_object(row: Row) -> dict[str, Any]:
    """One row."""
    return {
        "index": row.index,
        "name": row.name,
        "op": row.op,
        "module": row.module,
        "output_shape": list(row.output_shape),
        "params": row.params,
        "macs": row.macs,
        "activation_bytes": row.activation_bytes,
        "sources": list(row.sources),
        "image_share": worst_share(row.field),
        "field": field_object(row.field),
    }


def field_object(field: Field) -> dict[str, Any]:
    """One field; jump and centre are exact fractions as texts ("1/2"), null where there is none."""
    return {
        "size": list(field.size),
        "size_min": list(field.size_min),
        "jump": [None if value is None else str(value) for value in field.jump],
        "start": list(field.start),
        "centre": [None if value is None else str(value) for value in field.centre],
        "pixels": list(field.pixels),
        "is_global": field.is_global,
        "flags": sorted(field.flags),
    }


def verdict_object(verdict: Verdict | None, source: str) -> dict[str, Any] | None:
    """The verdict; null where there is no budget."""
    if verdict is None:
        return None
    limits = [{**dataclasses.asdict(limit), "held": limit.held} for limit in verdict.limits]
    return {"ok": verdict.ok, "budget": source, "margins": verdict.margins, "limits": limits}
