"""The answers to --explain and --lint as sections of a report: a title, a sentence, a table of texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rfcalc.analysis.result import Row
from rfcalc.questions.explain import Explanation, WhatIf
from rfcalc.questions.lint import Finding
from rfcalc.questions.suggest import Suggestions
from rfcalc.render.columns import extent
from rfcalc.render.report import Report, base_rows, verified_sentence
from rfcalc.text import human, per_axis, plural


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
    if report.suggestions is not None:
        found.append(_suggested(report.suggestions))
    if report.findings is not None:
        found.append(_linted(report.findings))
    if report.verification is not None:
        found.append(Section("Verified", verified_sentence(report.verification) + "."))
    return found


def compared(report: Report) -> Section | None:
    """The figures beside those of the base; None where there is none."""
    if report.base is None:
        return None
    rows = tuple((name, shown(was), shown(now), change(was, now)) for name, was, now in base_rows(report))
    text = "" if report.base.figures else "It is not in the base."
    return Section(
        f"Against {report.base.label}", text, ("", "before", "now", "change"), rows, (False, True, True, True)
    )


def shown(number: int | None) -> str:
    """Return an exact number; "-" for none."""
    return "-" if number is None else f"{number:,}"


def change(was: int | None, now: int | None) -> str:
    """Return how much a number grew, absolute and as a share: "+1,024 (+2.1 %)"; "=" where it did not."""
    if was is None or now is None:
        return "new" if was is None and now is not None else ""
    if was == now:
        return "="
    share = f" ({100 * (now - was) / was:+.3g} %)" if was else ""
    return f"{now - was:+,}{share}"


def _suggested(suggestions: Suggestions) -> Section:
    if not suggestions.needed:
        return Section("Suggestions", "Nothing to change: no limit is broken.")
    tried = f"{plural(suggestions.tried, 'changed network')} analysed"
    if not suggestions.complete:
        tried += ", then the time was up"
    if not suggestions.found:
        return Section("Suggestions", f"None within two changes ({tried}).")
    rows = tuple(
        (
            " and ".join(one.changes),
            shown(one.receptive_field),
            human(one.params),
            human(one.macs),
            f"{100 * one.cost:.3g} %",
        )
        for one in suggestions.found
    )
    text = f"Each holds every judged limit; the smallest change of parameters and MACs first ({tried})."
    return Section(
        "Suggestions", text, ("change", "rf", "params", "macs", "cost"), rows, (False, True, True, True, True)
    )


MOST = 10
"""Lines of --explain: those that matter most."""


def _explained(explanation: Explanation) -> list[Section]:
    row = explanation.row
    text = f"{row.name} ({row.op}) sees {extent(row.field)} px: one pixel, and what these layers add."
    if explanation.global_by:
        text += (
            f" {explanation.global_by} puts the whole image in view; the number is that of the local paths."
        )
    adding = [step for step in explanation.steps if any(step.adds)]
    steps = tuple(
        (step.row.name, step.row.op, per_axis([f"{n:+}" for n in step.adds]), extent(step.row.field))
        for step in most_of(adding, lambda step: math.prod(1 + abs(n) for n in step.adds))
    )
    if len(steps) < len(adding):
        text += f" The {MOST} of {len(adding)} that add most, in execution order; JSON has all."
    ranked = most_of(explanation.what_ifs, lambda what_if: _effect(row, what_if), in_order=False)
    more = f" The {MOST} of {len(explanation.what_ifs)} that change it most; JSON has all."
    what_ifs = tuple(
        (
            what_if.layer,
            what_if.change,
            per_axis(what_if.size) if what_if.size else "does not fit",
            "" if what_if.params is None else f"{what_if.params:,}",
            "" if what_if.macs is None else f"{what_if.macs:,}",
        )
        for what_if in ranked
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
            "One change at a time; the paddings follow a dilation, so that the maps keep their sizes."
            + (more if len(ranked) < len(explanation.what_ifs) else ""),
            ("layer", "change", "rf then", "params", "macs"),
            what_ifs,
            (False, False, True, True, True),
        ),
    ]


T = TypeVar("T")


def most_of(entries: Sequence[T], weight: Callable[[T], float], *, in_order: bool = True) -> list[T]:
    """Return the entries of most weight, `MOST` at most, in their own order or the heaviest first."""
    ranked = sorted(entries, key=weight, reverse=True)[:MOST]
    kept = {id(entry) for entry in ranked}
    return [entry for entry in entries if id(entry) in kept] if in_order else ranked


def _effect(row: Row, what_if: WhatIf) -> float:
    """Return how much a change does to the extent; one that does not fit comes last."""
    if what_if.size is None:
        return -1
    return sum(abs(then - now) for then, now in zip(what_if.size, row.field.size, strict=True))


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
