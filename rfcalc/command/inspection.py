"""Options -> Report: load the target, analyse it, ask it what the command line asks, judge it."""

from __future__ import annotations

from rfcalc.analysis.analyze import Analysis, Row, analyze
from rfcalc.analysis.budget import Budget, judge
from rfcalc.command.arguments import Options
from rfcalc.command.blame import recovered
from rfcalc.command.load import build, parse_arguments
from rfcalc.command.target import Target, importable
from rfcalc.errors import UsageError
from rfcalc.questions.erf import effective_field, measured
from rfcalc.questions.explain import explain
from rfcalc.questions.lint import lint
from rfcalc.questions.oracle import verify
from rfcalc.render.erf_plot import draw, spread_of
from rfcalc.render.report import Report
from rfcalc.trace.inputs import inputs_of
from rfcalc.trace.prepare import prepared

VERIFY_SECONDS = 60.0
"""After that --verify begins no further row."""


def inspect(
    target: Target, options: Options, budget: Budget | None, budget_source: str
) -> tuple[Report, bytes | None]:
    """Run the target and find out what `options` ask for.

    Returns:
        The report, and the PNG that --erf-map asks for.

    Raises:
        RfcalcError: The target does not load, or its forward does not run on this input.
    """
    with importable(target):
        loaded = build(target, parse_arguments(options.arguments))
        recovered()  # from a limit of recursion that the file has lowered
        # The very default: who types --input 3x32x32 means it.
        inputs = loaded.inputs if options.inputs is Options.inputs and loaded.inputs else options.inputs
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
    report = Report(
        target=target.text,
        model=type(model).__name__,
        notes=loaded.notes,
        train=options.train,
        analysis=analysis,
        verdict=judge(analysis, budget) if budget else None,
        budget_source=budget_source if budget else "",
        findings=findings,
        explanation=explanation,
        sigmas=sigmas,
        measured=spread_of(influence) if influence is not None else None,
        verification=verify(model, analysis, seconds=VERIFY_SECONDS) if options.verify else None,
    )
    if influence is None or sigmas is None:
        return report, None
    row = _features(analysis)
    return report, draw(influence, row, report.model, sigmas[row.index])


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
