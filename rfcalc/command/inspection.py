"""Options -> Report: load the target, analyse it, ask it what the command line asks, judge it."""

from __future__ import annotations

import dataclasses

from rfcalc.analysis.analyze import analyze
from rfcalc.analysis.budget import Verdict, judge
from rfcalc.analysis.growth import Figures, figures_of, judge_growth
from rfcalc.analysis.result import Analysis, Row
from rfcalc.command.base import OpenBase
from rfcalc.command.blame import recovered
from rfcalc.command.checks import Check
from rfcalc.command.load import Loaded, build
from rfcalc.command.options import MACHINES, Options
from rfcalc.command.places import places_of
from rfcalc.command.running import importable
from rfcalc.command.target import Target
from rfcalc.errors import UsageError
from rfcalc.questions.erf import effective_field, measured
from rfcalc.questions.explain import explain
from rfcalc.questions.lint import lint
from rfcalc.questions.oracle import verify
from rfcalc.questions.suggest import suggest
from rfcalc.render.erf_plot import draw, spread_of
from rfcalc.render.report import Report
from rfcalc.trace.inputs import Input, inputs_of
from rfcalc.trace.prepare import prepared

VERIFY_SECONDS = 60.0
"""After that --verify begins no further row."""


def inspect(
    target: Target, options: Options, check: Check, base: OpenBase | None = None
) -> tuple[Report, bytes | None]:
    """Run the target and find out what `options` ask for.

    Args:
        target: What to load.
        options: The questions.
        check: The network: its inputs, arguments and limits.
        base: What it is compared with.

    Returns:
        The report, and the PNG that --erf-map asks for.

    Raises:
        RfcalcError: The target does not load, or its forward does not run on this input.
    """
    with importable(target):
        loaded = build(target, check.arguments)
        recovered()  # from a limit of recursion that the file has lowered
        inputs = _inputs(loaded, check, target)
        model = prepared(loaded.model, inputs_of(inputs))
        analysis = analyze(model, input_size=inputs, train=options.train, count_all=options.count_all)
        _refuse_whole_numbers(options, analysis)
        findings = lint(model, analysis, train=options.train) if options.lint else None
        explanation = (
            explain(model, analysis, options.explain, train=options.train)
            if options.explain is not None
            else None
        )
        sigmas = effective_field(analysis) if _wants_erf(options) else None
        influence = measured(analysis, _features(analysis)) if options.erf_map else None
        verdict = judge(analysis, check.budget) if check.budget else None
        suggestions = None
        if options.suggest:
            if check.budget is None:
                raise UsageError("--suggest needs limits: name some, or list them in [tool.rfcalc]")
            suggestions = suggest(model, analysis, check.budget, train=options.train)
        places = places_of(model, analysis, verdict, target) if options.format in MACHINES else {}
    report = Report(
        target=target.text,
        model=type(model).__name__,
        notes=loaded.notes,
        train=options.train,
        analysis=analysis,
        verdict=verdict,
        budget_source=check.source if verdict else "",
        name=check.name if check.name != check.text else "",
        places=places,
        suggestions=suggestions,
        findings=findings,
        explanation=explanation,
        sigmas=sigmas,
        measured=spread_of(influence) if influence is not None else None,
        verification=verify(model, analysis, seconds=VERIFY_SECONDS) if options.verify else None,
    )
    if base is not None:
        report = _compared(report, check, base)
    if influence is None or sigmas is None:
        return report, None
    row = _features(analysis)
    return report, draw(influence, row, report.model, sigmas[row.index])


def analysed(check: Check, target: Target, options: Options) -> Analysis:
    """Load and analyse a network, and ask it nothing.

    Raises:
        RfcalcError: It does not load or run.
    """
    with importable(target):
        loaded = build(target, check.arguments)
        recovered()
        inputs = _inputs(loaded, check, target)
        model = prepared(loaded.model, inputs_of(inputs))
        return analyze(model, input_size=inputs, train=options.train, count_all=options.count_all)


def _inputs(loaded: Loaded, check: Check, target: Target) -> tuple[Input, ...]:
    """Return what forward() is called with: the size after the @, --input, what the network is made for.

    Raises:
        UsageError: The size is given twice.
    """
    if target.given_size:
        if check.inputs is not Options.inputs:
            raise UsageError(f"{target.text}: the size is given twice, after the @ and by --input; drop one")
        return (Input(target.given_size),)
    # The very default: who types --input 3x32x32 means it.
    return loaded.inputs if check.inputs is Options.inputs and loaded.inputs else check.inputs


def figures_at(check: Check, target: Target, options: Options) -> Figures:
    """Analyse a network of the base for its figures alone.

    Raises:
        RfcalcError: It does not load or run there.
    """
    return figures_of(analysed(check, target, options), _dtype(check))


def _dtype(check: Check) -> str:
    return check.budget.dtype if check.budget else "float32"


def _compared(report: Report, check: Check, opened: OpenBase) -> Report:
    """Return the report with its base, and the limits on growth in its verdict."""
    base, now = opened.of(check), figures_of(report.analysis, _dtype(check))
    report = dataclasses.replace(report, base=base, figures=now)
    if not check.growth.limits():
        return report
    limits = report.verdict.limits if report.verdict else ()
    verdict = Verdict((*limits, *judge_growth(now, base, check.growth).limits))
    return dataclasses.replace(report, verdict=verdict, budget_source=check.source)


def _refuse_whole_numbers(options: Options, analysis: Analysis) -> None:
    """Refuse questions that gradients answer where the input has none."""
    graph = analysis.graph
    one = graph.given[graph.inputs.index(graph.input)]
    asked = "--verify" if options.verify else "--erf-map" if options.erf_map else ""
    if asked and not one.is_float:
        raise UsageError(f"{asked} takes gradients with respect to the input, and {one} has none")


def _wants_erf(options: Options) -> bool:
    return options.erf or options.erf_map is not None or "erf" in (options.columns or ())


def _features(analysis: Analysis) -> Row:
    if analysis.field_row is None:
        raise UsageError("--erf-map: the network has no local features whose field could be drawn")
    return analysis.rows[analysis.field_row]
