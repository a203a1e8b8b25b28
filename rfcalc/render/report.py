"""Report: everything that one run of the command found out, as facts; the renderers draw it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rfcalc.analysis.budget import Verdict
from rfcalc.analysis.coverage import seen_counts
from rfcalc.analysis.measures import why_no_gap
from rfcalc.errors import one_line
from rfcalc.render.columns import extent, sizes
from rfcalc.text import human, human_bytes, listed, per_axis, percent, plural

if TYPE_CHECKING:
    from rfcalc.analysis.growth import Base, Figures
    from rfcalc.analysis.result import Analysis
    from rfcalc.analysis.structure import Structure
    from rfcalc.maps.field import Field
    from rfcalc.questions.erf import Sigma
    from rfcalc.questions.explain import Explanation
    from rfcalc.questions.lint import Finding
    from rfcalc.questions.oracle import Verification
    from rfcalc.questions.suggest import Suggestions

CONVENTION = (
    "Receptive field in input pixels on an unbounded plane. MACs: multiply-accumulates of convolution, "
    "transposed convolution and linear layers for one image; biases, norms and pooling are not counted."
)


@dataclass(frozen=True)
class Place:
    """A line of a source file; the file is relative to the current folder where it lies below it."""

    file: str
    line: int


@dataclass(frozen=True)
class Outcome:
    """What became of one network of a call: a report, or an error.

    Attributes:
        name: What the network is called.
        target: Its target.
        report: None where there is an error.
        error: One line; "" for none.
    """

    name: str
    target: str
    report: Report | None
    error: str = ""

    @property
    def code(self) -> int:
        """The exit code for it: 0 held, 1 broken, 2 not analysed."""
        if self.report is None:
            return 2
        return 0 if self.report.ok else 1


@dataclass(frozen=True)
class Report:
    """What the command says about one network.

    Attributes:
        target: What the user named.
        model: Class name of the network.
        train: Whether it was analysed in training mode.
        analysis: The facts.
        verdict: None where there is no budget.
        budget_source: Where the budget comes from: a file, "command line"; "" for none.
        findings: What --lint found; None: not asked.
        explanation: What --explain found; None: not asked.
        sigmas: The closed-form effective receptive field of every row; None: not asked.
        measured: Sigma of the measured one, of the features that the budget judges; None: not asked.
        verification: What --verify found; None: not asked.
        notes: Further sentences on how the model was had: which cells of a notebook ran.
        name: What pyproject.toml calls it; "" where it is not listed.
        base: What it is compared with; None: not asked.
        figures: Its own figures, for that comparison; None: not asked.
        places: Where the class of a layer is defined, by the layer's name, "" for the network's; only for
            formats that show it.
        suggestions: What --suggest found; None: not asked.
    """

    target: str
    model: str
    train: bool
    analysis: Analysis
    verdict: Verdict | None = None
    budget_source: str = ""
    findings: tuple[Finding, ...] | None = None
    explanation: Explanation | None = None
    sigmas: tuple[Sigma, ...] | None = None
    measured: tuple[float, ...] | None = None
    verification: Verification | None = None
    notes: tuple[str, ...] = ()
    name: str = ""
    base: Base | None = None
    figures: Figures | None = None
    places: Mapping[str, Place] = dataclasses.field(default_factory=dict)
    suggestions: Suggestions | None = None

    @property
    def called(self) -> str:
        """What it is called among others."""
        return self.name or self.target

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against exit code 0."""
        agrees = self.verification is None or self.verification.ok
        return agrees and (self.verdict is None or self.verdict.ok)

    @property
    def asks(self) -> bool:
        """Whether the report answers a question, so that the table of rows would be in the way."""
        return any(answer is not None for answer in (self.findings, self.explanation, self.suggestions))


def facts(report: Report) -> list[tuple[str, str]]:
    """The totals and the structure as label and sentence, for the table and for Markdown."""
    analysis, structure = report.analysis, report.analysis.structure
    frozen = analysis.params - analysis.trainable_params
    pairs = [f"{pair.depthwise} + {pair.pointwise}" for pair in structure.depthwise_separable]
    found = [
        ("receptive field", _field(analysis)),
        ("parameters", both(analysis.params) + (f", {frozen:,} of them frozen" if frozen else "")),
        ("MACs", _macs(analysis)),
        ("peak activations", f"{_memory(analysis)} for one image, float32"),
        ("separable", _named(pairs, "depthwise-separable pair")),
        ("dilated", _named(structure.dilated, "dilated layer")),
        ("global pooling", _pooling(structure)),
        ("max pooling", _named(structure.max_pools, "max pool")),
        ("stages", _named(structure.stages, "stage")),
    ]
    if report.sigmas is not None and analysis.field_row is not None:
        found.insert(1, ("effective field", _effective(report, report.sigmas[analysis.field_row])))
    if report.verification is not None:
        found.append(("verified", verified_sentence(report.verification)))
    if analysis.field_row is not None:
        found.insert(1, ("image seen", _seen(analysis.field)))
    if len(analysis.outputs) > 1:
        texts = [f"{name} {extent(field)}" for name, field in analysis.outputs.items()]
        found.insert(1, ("outputs", ", ".join(texts)))
    if analysis.further:
        found[1:1] = [(f"input {name}", _field(view)) for name, view in analysis.inputs.items()]
    found += [("branches", text) for text in branch_sentences(analysis)]
    found += [("note", note) for note in report.notes]
    # Names of modules, inputs and outputs may hold any character; they must not steer the terminal.
    return [(one_line(label), one_line(text)) for label, text in found]


def both(number: int) -> str:
    """An exact number, and what a person reads beside it: "97,912 (97.9 k)"."""
    return f"{number:,}" + (f" ({human(number)})" if number >= 10_000 else "")


def _memory(analysis: Analysis) -> str:
    peak = analysis.peak_activation_bytes
    return f"{peak:,} bytes" + (f" ({human_bytes(peak)})" if peak >= 10_000 else "")


def base_rows(report: Report) -> list[tuple[str, int | None, int | None]]:
    """The figures that are compared with a base: name, there, here; None for what is not known."""
    if report.base is None or report.figures is None:
        return []
    names = ("receptive_field", "params", "macs", "peak_activation_bytes", "weight_bytes")
    before = report.base.figures
    return [
        (
            name.replace("_", " "),
            None if before is None else getattr(before, name),
            getattr(report.figures, name),
        )
        for name in names
    ]


def branch_sentences(analysis: Analysis) -> list[str]:
    """What forward() decides by values, and what is known of the other ways; [] where it decides nothing."""
    found = []
    sized = list(dict.fromkeys(analysis.graph.sized))
    if sized:
        found.append(f"sizes depend on values at {listed(sized, 3)}; the figures are those of one input")
    left = list(dict.fromkeys(analysis.graph.left))
    if left:
        found.append(
            f"the content of tensors leaves PyTorch at {listed(left, 3)}; what is decided by it there is not "
            "followed, and the figures are those of one input"
        )
    if analysis.graph.drawn:
        found.append(
            "forward() draws random numbers outside of PyTorch; what it decides by them is not followed, and "
            "the figures are those of one draw"
        )
    if not analysis.graph.asks:
        return found
    places = list(dict.fromkeys(ask.place for ask in analysis.graph.asks))
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    asked = f"forward() reads values out of tensors at {', '.join(places[:3])}{more}"
    unexplored = "; not every branch was followed" if analysis.graph.unexplored else ""
    if not analysis.others:
        return [
            *found,
            f"{asked}; what it does with them in Python is not followed, no other branch was met{unexplored}",
        ]
    ways = [f"{sizes(run.field)} px with {run.macs:,} MACs" for run in (analysis, *analysis.others)]
    return [*found, f"{asked} and branches on them: {' or '.join(ways)}; the first is shown{unexplored}"]


def verdict_sentence(report: Report) -> str:
    """The verdict in one sentence."""
    if report.verdict is None:
        return "No budget: name limits on the command line or in [tool.rfcalc] of pyproject.toml."
    broken, judged = len(report.verdict.broken), len(report.verdict.margins)
    if not judged:
        return f"Nothing to judge in the budget ({report.budget_source})."
    if broken:
        return f"Over budget: {broken} of {plural(judged, 'limit')} broken ({report.budget_source})."
    return f"Within budget: {plural(judged, 'limit')} held ({report.budget_source})."


def verified_sentence(verification: Verification, at_most: int = 5) -> str:
    """How many units agree with the gradient oracle, and which do not."""
    units = plural(verification.checked, "unit")
    if not verification.checked:
        reasons = listed([f"{name} ({reason})" for name, reason in verification.skipped], at_most)
        return "no unit could be checked: " + (reasons or "no row depends on the input")
    text = f"{verification.agreed:,} of {units} agree with the float64 gradient oracle"
    for wrong in verification.mismatches[:at_most]:
        text += f"; {wrong.row} at {wrong.index}: {wrong.missing} pixels missing, {wrong.extra} too many"
    if len(verification.mismatches) > at_most:
        text += f"; and {len(verification.mismatches) - at_most} more"
    if verification.placed:
        text += f"; size, jump and start agree on {plural(verification.placed, 'row')}"
    for moved in verification.misplaced[:at_most]:
        text += f"; {moved.row} at {moved.index}: pixels {_span(moved.seen)} of axis {moved.axis}"
        text += f" where its size, jump and start say {_span(moved.claimed)}"
    if verification.left_out:
        text += f" (a sample: no time for {plural(verification.left_out, 'further row')})"
    if verification.skipped:
        text += f"; not reached by gradients: {_named([name for name, _ in verification.skipped], 'row')}"
    return text


def _span(hull: tuple[int, int]) -> str:
    return f"{hull[0]}..{hull[1]}"


def _effective(report: Report, closed: Sigma) -> str:
    text = f"sigma {_sigma(closed)} px in closed form (uniform weights, branches alike)"
    return text + (f", {_sigma(report.measured)} px measured" if report.measured else "")


def _sigma(sigma: Sigma) -> str:
    return per_axis(["-" if value is None else f"{value:.2f}" for value in sigma])


def _field(analysis: Analysis) -> str:
    field = analysis.field
    if analysis.field_row is None:
        return "no local features" + (": all ops have the whole image in view" if analysis.rows else "")
    where = analysis.rows[analysis.field_row].name
    reach = f"{sizes(field)} px at {where}, jump {per_axis(field.jump)}, start {per_axis(field.start)}"
    flags = sorted(field.flags)
    return reach + (f" ({', '.join(flags)})" if flags else "") + _rivals(analysis)


def _rivals(analysis: Analysis) -> str:
    """Name the other maps that are last features, each with its field: the choice was between these."""
    if not analysis.field_rivals:
        return ""
    rows = [analysis.rows[index] for index in analysis.field_rivals]
    texts = [f"{row.name} ({sizes(row.field)} px, jump {per_axis(row.field.jump)})" for row in rows[:4]]
    more = f" and {len(rows) - 4} more" if len(rows) > 4 else ""
    return f"; the largest of several last maps, the others: {', '.join(texts)}{more}"


def _seen(field: Field) -> str:
    """How much of the image the worst unit of a map sees, the centre unit, and how many units see all."""
    counts, pixels = seen_counts(field), math.prod(field.reach.input_size)
    centre = int(counts[tuple(n // 2 for n in counts.shape)])
    all_seen = int((counts == pixels).sum())
    worst = percent(int(counts.min()) / pixels)
    units = f"{all_seen:,} of {plural(counts.numel(), 'unit')}"
    return f"{worst} by the worst unit, {percent(centre / pixels)} by the centre unit; {units} see all of it"


def _pooling(structure: Structure) -> str:
    why = why_no_gap(structure)
    if structure.global_average_pools or not why:
        return _named(structure.global_average_pools, "global average pool")
    return f"none: {why}"


def _macs(analysis: Analysis) -> str:
    text = f"{both(analysis.macs)} for one image"
    if analysis.count_all:
        text += ", with attention products, layers on constants, sampling and Fourier transforms"
    if analysis.uncounted_macs:
        parts = [f"{name} {number:,}" for name, number in analysis.uncounted_macs.items()]
        text += f"; not counted: {', '.join(parts)} (--count-all counts them)"
    return text


def _named(names: Sequence[str], what: str, at_most: int = 6) -> str:
    if not names:
        return "none"
    return f"{plural(len(names), what)}: {listed(names, at_most)}"
