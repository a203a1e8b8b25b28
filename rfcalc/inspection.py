"""Options -> Report: load the target, analyse it, ask it what the command line asks, judge it."""

from __future__ import annotations

from rfcalc.analysis import analyze
from rfcalc.arguments import Options
from rfcalc.budget import Budget, judge
from rfcalc.explain import explain
from rfcalc.lint import lint
from rfcalc.load import build, parse_arguments
from rfcalc.report import Report
from rfcalc.target import Target, importable


def inspect(target: Target, options: Options, budget: Budget | None, budget_source: str) -> Report:
    """Run the target and find out what `options` ask for.

    Raises:
        RfcalcError: The target does not load, or its forward does not run on this input.
    """
    with importable(target):
        model = build(target, parse_arguments(options.arguments))
        analysis = analyze(model, input_size=options.input_size, train=options.train)
        findings = lint(model, analysis, train=options.train) if options.lint else None
        explanation = (
            explain(model, analysis, options.explain, train=options.train)
            if options.explain is not None
            else None
        )
    return Report(
        target=target.text,
        model=type(model).__name__,
        train=options.train,
        analysis=analysis,
        verdict=judge(analysis, budget) if budget else None,
        budget_source=budget_source if budget else "",
        findings=findings,
        explanation=explanation,
    )
