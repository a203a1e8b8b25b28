"""Several networks at a glance: one line each with its figures, the broken limits, the verdict last."""

from __future__ import annotations

from collections.abc import Sequence

from rfcalc.errors import one_line
from rfcalc.render.formats import grid
from rfcalc.render.limits import limit_texts
from rfcalc.render.report import Outcome, Report, base_rows, verdict_sentence
from rfcalc.render.sections import Section, change
from rfcalc.text import human, human_bytes, plural

__all__ = ["summary_markdown", "summary_table"]

_STATES = {0: "held", 1: "BROKEN", 2: "ERROR"}


def summary_table(outcomes: Sequence[Outcome], *, width: int | None = None, quiet: bool = False) -> str:
    """Draw the networks of one call for a terminal.

    Args:
        outcomes: The networks.
        width: Characters in a line; None: what the terminal has.
        quiet: Leave out what holds.
    """
    from rfcalc.render.table import sections_text

    shown = [] if quiet else [_networks(outcomes)]
    if not quiet and any(outcome.report and outcome.report.base for outcome in outcomes):
        shown.append(_growth(outcomes))
    broken = _broken(outcomes)
    shown += [broken] if broken.rows else []
    return sections_text("", shown, all_sentence(outcomes), width=width)


def summary_markdown(outcomes: Sequence[Outcome]) -> str:
    """Draw the networks of one call as Markdown: for a step's summary and a comment of a pull request."""
    shown = [_networks(outcomes)]
    if any(outcome.report and outcome.report.base for outcome in outcomes):
        shown.append(_growth(outcomes))
    shown.append(_broken(outcomes))
    parts = ["## rfcalc"]
    for section in shown:
        if section.rows:
            parts += [f"**{section.title}**"] if section.title else []
            parts.append(grid(section.header, section.rows, section.numbers))
    return "\n\n".join([*parts, all_sentence(outcomes)]) + "\n"


def all_sentence(outcomes: Sequence[Outcome]) -> str:
    """The verdict on all networks in one sentence."""
    if len(outcomes) == 1 and outcomes[0].report is not None:
        return verdict_sentence(outcomes[0].report)
    failed = sum(outcome.code == 2 for outcome in outcomes)
    over = [outcome for outcome in outcomes if outcome.code == 1]
    judged = sum(bool(o.report and o.report.verdict and o.report.verdict.margins) for o in outcomes)
    parts = []
    if failed:
        parts.append(f"{failed} of {plural(len(outcomes), 'network')} could not be analysed")
    if over:
        count = sum(len(o.report.verdict.broken) for o in over if o.report and o.report.verdict)
        parts.append(
            f"{len(over)} of {plural(len(outcomes), 'network')} over budget, {plural(count, 'limit')} broken"
        )
    if parts:
        return f"{'; '.join(parts)}.".capitalize()
    if not judged:
        return f"{plural(len(outcomes), 'network')} analysed, none judged: there is no budget."
    return f"Within budget: all limits of {plural(judged, 'network')} held."


def _networks(outcomes: Sequence[Outcome]) -> Section:
    rows = []
    for outcome in outcomes:
        name, report = one_line(outcome.name), outcome.report
        if report is None:
            rows.append((_STATES[2], name, "", "", "", "", ""))
            continue
        analysis = report.analysis
        judged = report.verdict is not None and report.verdict.margins
        local = analysis.field_row is not None
        rows.append(
            (
                _STATES[outcome.code] if judged or outcome.code else "",
                name,
                analysis.input_text,
                str(min(analysis.field.size)) if local else "-",
                human(analysis.params),
                human(analysis.macs),
                human_bytes(analysis.peak_activation_bytes),
            )
        )
    header = ("", "network", "input", "rf", "params", "MACs", "peak")
    return Section("", "", header, tuple(rows), (False, False, False, True, True, True, True))


def _growth(outcomes: Sequence[Outcome]) -> Section:
    labels = {o.report.base.label for o in outcomes if o.report and o.report.base}
    rows = tuple(
        (one_line(o.name), *(change(was, now) for _, was, now in base_rows(o.report)))
        for o in outcomes
        if o.report and o.report.base
    )
    header = ("network", "rf", "params", "MACs", "peak bytes", "weight bytes")
    return Section(f"Against {', '.join(sorted(labels))}", "", header, rows, (False, *(True,) * 5))


def _broken(outcomes: Sequence[Outcome]) -> Section:
    rows: list[tuple[str, ...]] = []
    for outcome in outcomes:
        if outcome.report is None:
            rows.append((one_line(outcome.name), "", "", "", "", outcome.error))
            continue
        rows += [(one_line(outcome.name), *row) for row in broken_rows(outcome.report)]
    header = ("network", "limit", "value", "must be", "room", "where")
    return Section("Broken", "", header, tuple(rows), (False, False, True, True, True, False))


def broken_rows(report: Report) -> list[tuple[str, ...]]:
    """The broken limits of one network as texts: name, value, what it must be, room, where."""
    limits = report.verdict.broken if report.verdict else ()
    return [limit_texts(limit)[1:] for limit in limits]
