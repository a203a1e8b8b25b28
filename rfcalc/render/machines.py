"""Outcomes -> what other programs read: annotations of GitHub, JUnit XML, SARIF 2.1.0."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

from rfcalc._version import __version__
from rfcalc.analysis.budget import Limit, key_of
from rfcalc.errors import one_line
from rfcalc.render.limits import limit_sentence
from rfcalc.render.report import Outcome, Place, Report
from rfcalc.render.summary import all_sentence

__all__ = ["machine_text"]

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def machine_text(outcomes: Sequence[Outcome], form: str) -> str:
    """Draw the outcomes as "github", "junit" or "sarif"."""
    return _FORMS[form](outcomes)


def _place(report: Report, limit: Limit) -> Place | None:
    return report.places.get(limit.layer) or report.places.get("")


def _broken(outcomes: Sequence[Outcome]) -> Iterator[tuple[Outcome, Report, Limit]]:
    for outcome in outcomes:
        if outcome.report is not None and outcome.report.verdict is not None:
            for limit in outcome.report.verdict.broken:
                yield outcome, outcome.report, limit


def _github(outcomes: Sequence[Outcome]) -> str:
    """Workflow commands, one a line, and the verdict (docs.github.com, "Workflow commands")."""
    lines = []
    for outcome, report, limit in _broken(outcomes):
        place = _place(report, limit)
        settings = {"file": place.file, "line": str(place.line)} if place else {}
        settings["title"] = f"rfcalc: {outcome.name} breaks {key_of(limit.name)}"
        lines.append(_annotation(settings, limit_sentence(limit)))
    lines += [_annotation({"title": f"rfcalc: {o.name}"}, o.error) for o in outcomes if o.report is None]
    return "\n".join([*lines, one_line(all_sentence(outcomes))]) + "\n"


def _annotation(settings: dict[str, str], message: str) -> str:
    joined = ",".join(f"{key}={_coded(value, ':,')}" for key, value in settings.items())
    return f"::error {joined}::{_coded(one_line(message))}"


def _coded(text: str, further: str = "") -> str:
    return "".join(f"%{ord(c):02X}" if c in f"%\r\n{further}" else c for c in text)


def _junit(outcomes: Sequence[Outcome]) -> str:
    """A suite a network, a test case a limit; what is not judged is skipped, what fails to load an error."""
    suites = ElementTree.Element("testsuites", name="rfcalc")
    for outcome in outcomes:
        limits = _limits(outcome.report)
        counts = {
            "tests": max(len(limits), 1 if outcome.report is None else 0),
            "failures": sum(limit.held is False for limit in limits),
            "errors": int(outcome.report is None),
            "skipped": sum(limit.held is None for limit in limits),
        }
        facts = {"name": _xml(outcome.name), **{key: str(value) for key, value in counts.items()}}
        suite = ElementTree.SubElement(suites, "testsuite", facts)
        if outcome.report is None:
            case = ElementTree.SubElement(suite, "testcase", classname=_xml(outcome.name), name="analysis")
            ElementTree.SubElement(case, "error", message=_xml(outcome.error))
        for limit in limits:
            place = _place(outcome.report, limit) if outcome.report else None
            where = {"file": place.file, "line": str(place.line)} if place else {}
            facts = {"classname": _xml(outcome.name), "name": key_of(limit.name), **where}
            case = ElementTree.SubElement(suite, "testcase", facts)
            if limit.held is False:
                ElementTree.SubElement(case, "failure", message=_xml(limit_sentence(limit)))
            elif limit.held is None:
                ElementTree.SubElement(case, "skipped", message=_xml(limit.note))
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _limits(report: Report | None) -> tuple[Limit, ...]:
    return report.verdict.limits if report is not None and report.verdict is not None else ()


def _xml(text: str) -> str:
    return one_line(text)  # XML has no control characters, escaped or not


def _sarif(outcomes: Sequence[Outcome]) -> str:
    """One run of SARIF 2.1.0 (OASIS, 2020): a rule a limit, a result a broken one."""
    names = sorted({limit.name for outcome in outcomes for limit in _limits(outcome.report)})
    rules = [
        {"id": key_of(name), "shortDescription": {"text": f"The network keeps the limit {key_of(name)}."}}
        for name in names
    ]
    results = []
    for outcome, report, limit in _broken(outcomes):
        result: dict[str, Any] = {
            "ruleId": key_of(limit.name),
            "ruleIndex": names.index(limit.name),
            "level": "error",
            "message": {"text": f"{one_line(outcome.name)}: {limit_sentence(limit)}"},
        }
        place = _place(report, limit)
        if place is not None:
            artifact = {"uri": _uri(place.file)}
            region = {"startLine": place.line}
            result["locations"] = [{"physicalLocation": {"artifactLocation": artifact, "region": region}}]
        results.append(result)
    errors = [
        {"level": "error", "message": {"text": f"{one_line(o.name)}: {o.error}"}}
        for o in outcomes
        if o.report is None
    ]
    invocation: dict[str, Any] = {"executionSuccessful": not errors}
    if errors:
        invocation["toolExecutionNotifications"] = errors
    run = {
        "tool": {"driver": {"name": "rfcalc", "version": __version__, "rules": rules}},
        "invocations": [invocation],
        "results": results,
    }
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _uri(file: str) -> str:
    from urllib.parse import quote

    path = file.replace("\\", "/")
    return f"file://{quote(path)}" if path.startswith("/") else quote(path)


_FORMS = {"github": _github, "junit": _junit, "sarif": _sarif}
