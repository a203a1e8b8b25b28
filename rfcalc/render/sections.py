"""The answers to --explain and --lint as sections of a report: a title, a sentence, a table of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rfcalc.questions.explain import Explanation
from rfcalc.questions.lint import Finding
from rfcalc.render.columns import extent
from rfcalc.render.report import Report, verified_sentence
from rfcalc.text import per_axis


@dataclass(frozen=True)
class Section:
    """A table of texts; `numbers` says which columns are set flush right, the last column may fold."""

    title: str
    text: str
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    numbers: tuple[bool, ...] = ()


def sections(report: Report) -> list[Section]:
    """The answers, in the order of asking."""
    found = []
    if report.explanation is not None:
        found += _explained(report.explanation)
    if report.findings is not None:
        found.append(_linted(report.findings))
    if report.verification is not None:
        found.append(Section("Verified", verified_sentence(report.verification) + "."))
    return found


def _explained(explanation: Explanation) -> list[Section]:
    row = explanation.row
    text = f"{row.name} ({row.op}) sees {extent(row.field)} px: one pixel, and what these layers add."
    if explanation.global_by:
        text += (
            f" {explanation.global_by} puts the whole image in view; the number is that of the local paths."
        )
    steps = tuple(
        (step.row.name, step.row.op, per_axis([f"{n:+}" for n in step.adds]), extent(step.row.field))
        for step in explanation.steps
        if any(step.adds)
    )
    what_ifs = tuple(
        (
            what_if.layer,
            what_if.change,
            per_axis(what_if.size) if what_if.size else "does not fit",
            "" if what_if.params is None else f"{what_if.params:,}",
            "" if what_if.macs is None else f"{what_if.macs:,}",
        )
        for what_if in explanation.what_ifs
    )
    return [
        Section(
            f"Why {row.name} sees what it sees",
            text,
            ("layer", "op", "adds", "rf"),
            steps,
            (False, False, True, True),
        ),
        Section(
            f"What would change {row.name}",
            "One change at a time; the paddings follow a dilation, so that the maps keep their sizes.",
            ("layer", "change", "rf then", "params", "macs"),
            what_ifs,
            (False, False, True, True, True),
        ),
    ]


def _linted(findings: Sequence[Finding]) -> Section:
    if not findings:
        return Section("Lint", "Nothing found.")
    rows = tuple(
        (
            finding.check,
            finding.layer,
            finding.message + (f". Way out: {finding.advice}" if finding.advice else ""),
        )
        for finding in findings
    )
    return Section("Lint", "", ("check", "layer", "what"), rows, (False, False, False))
