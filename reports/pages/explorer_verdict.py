"""Whether the network of the explorer holds its budget, and what lint remarks."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from records.text import plural
from reports.pages.html import Markup, element, table
from reports.tables.network import limits

if TYPE_CHECKING:
    from torch import nn

    from rfcalc import Analysis, Finding, Verdict


@dataclass(frozen=True)
class Judged:
    """A network's verdict and the findings of lint."""

    verdict: "Verdict | None"
    """None: no budget applies."""
    source: str
    """The file that the budget is from, as a path from the current directory."""
    findings: "tuple[Finding, ...]"


def judge(model: "nn.Module", analysis: "Analysis", target: str) -> Judged:
    """Judge a network by the budget that `python -m rfcalc` takes for the same target, and run lint.

    Args:
        model: The analysed network; it is changed and changed back.
        analysis: Of it.
        target: What it was loaded from.

    Raises:
        rfcalc.errors.RfcalcError: The pyproject.toml that applies cannot be read.
    """
    import rfcalc

    findings = rfcalc.lint(model, analysis)
    found = rfcalc.find_budget(rfcalc.Target.parse(target).folder)
    if found is None or not found[0].limits():
        return Judged(None, "", findings)
    budget, path = found
    return Judged(rfcalc.judge(analysis, budget), os.path.relpath(path), findings)


def figures(judged: Judged) -> list[tuple[str, str, str]]:
    """Return the two key figures: the verdict, and how much lint has to say."""
    verdict = judged.verdict
    if verdict is None:
        shown = ("Budget", "none", "no pyproject.toml with [tool.rfcalc] above it")
    else:
        held = sum(limit.held is True for limit in verdict.limits)
        names = ", ".join(limit.name.replace("_", "-") for limit in verdict.broken)
        note = f"breaks {names}" if names else f"{held} of {len(verdict.limits)} limits of {judged.source}"
        shown = ("Budget", "broken" if names else "held", note)
    checks = sorted({finding.check for finding in judged.findings})
    count = len(judged.findings)
    words = plural(count, "remark") if count else "no remark"
    return [shown, ("Lint", words, ", ".join(checks) or "nothing looks like a mistake")]


def details(judged: Judged) -> Markup | None:
    """Return the limits as a table and the findings as a list, each with a button to its layer."""
    parts: list[Markup] = []
    if judged.verdict is not None:
        parts.append(table(limits(judged.verdict, judged.source), "limits"))
    if judged.findings:
        parts += [element("h3", "Lint"), element("ul", map(_finding, judged.findings), class_="findings")]
    return element("section", element("h2", "Budget and lint"), parts, id="verdict") if parts else None


def _finding(finding: "Finding") -> Markup:
    layer = element("button", finding.layer, type="button", data_layer=finding.layer)
    advice = f" Way out: {finding.advice}." if finding.advice else ""
    return element("li", element("b", finding.check), " at ", layer, f": {finding.message}.{advice}")
