"""The gate in front of training: what does not fit the budget is turned away here."""

from collections import Counter
from dataclasses import dataclass

import rfcalc
from models.arithmetic import Figures, figures
from models.flash import flash
from models.net import build
from models.spec import NetSpec, SpecError
from rfcalc.analysis.view import grown_fields

NO_INT8 = "no int8 form"
"""What a network with a layer norm breaks under `--limit int8`."""


@dataclass(frozen=True)
class Admission:
    """What rfcalc finds about a candidate."""

    params: int
    macs: int
    receptive_field: int
    """The smaller of height and width, in input pixels."""
    margins: dict[str, float]
    """Signed margin of each limit, <= 0 holds."""
    broken: tuple[str, ...]
    """Names of the limits that do not hold, in the order of the budget; empty: admitted."""
    growth: tuple[tuple[str, int], ...] = ()
    """(layer, the largest receptive field up to it), in input pixels."""


class Gate:
    """Judges candidates by a budget and counts what it turns away, by the first limit that broke."""

    def __init__(self, budget: rfcalc.Budget, input_size: tuple[int, int, int]) -> None:
        self.budget = budget
        self.input_size = input_size
        self.rejections: Counter[str] = Counter()
        self._last: tuple[NetSpec, Admission] | None = None
        self._int8 = budget.dtype == "int8"

    def admission(self, spec: NetSpec) -> Admission:
        """Analyse and judge `spec`; nothing is trained.

        Raises:
            SpecError: The spec is not a network at this input size.
        """
        if self._last is not None and self._last[0] == spec:  # admitted a moment ago
            return self._last[1]
        analysis = rfcalc.analyze(build(spec), input_size=self.input_size)
        verdict = rfcalc.judge(analysis, self.budget)
        admission = Admission(
            params=analysis.params,
            macs=analysis.macs,
            receptive_field=min(analysis.field.size),
            margins={name: float(margin) for name, margin in verdict.margins.items()},
            broken=(*self._formless(spec), *(limit.name for limit in verdict.broken)),
            growth=grown_fields(analysis),
        )
        self._last = spec, admission
        return admission

    def admits(self, spec: NetSpec) -> bool:
        """Return whether `spec` fits, and count it where it does not."""
        try:
            # Closed forms answer in microseconds; what passes them is built and judged by rfcalc, the truth.
            broken = self.missed(spec, figures(spec, self.input_size))
            broken = broken or self.admission(spec).broken
        except SpecError:
            broken = ("not a network",)
        return not broken or self.reject(broken[0])

    def reject(self, reason: str) -> bool:
        """Count a proposal that is turned away, and return False."""
        self.rejections[reason] += 1
        return False

    def missed(self, spec: NetSpec, known: Figures) -> tuple[str, ...]:
        """Return what the closed forms show to be broken: limits by name, or that there is no int8 form."""
        return tuple(self.shortfalls(known)) or self._formless(spec)

    def _formless(self, spec: NetSpec) -> tuple[str, ...]:
        return (NO_INT8,) if self._int8 and flash(spec) is None else ()

    def shortfalls(self, known: Figures) -> dict[str, int]:
        """Return by how much each limit is missed that the closed forms already show to be broken."""
        values = {
            "min_receptive_field": min(known.receptive_field),
            "max_params": known.params,
            "max_macs": known.macs,
            "min_depthwise_separable": known.depthwise_separable,
            "min_dilated": known.dilated,
        }
        if not self._int8:
            # In int8 rfcalc counts operators in place, which the closed form, in float32, does not.
            values["max_peak_activation_bytes"] = known.peak_activation_bytes
        margins = {
            name: int(bound) - values[name] if name.startswith("min") else values[name] - int(bound)
            for name, bound in self.budget.limits().items()
            if name in values
        }
        return {name: margin for name, margin in margins.items() if margin > 0}
