"""The gate in front of training: what does not fit the budget is turned away here."""

from collections import Counter
from dataclasses import dataclass

import rfcalc
from models.net import build
from models.spec import NetSpec, SpecError


@dataclass(frozen=True)
class Admission:
    """What rfcalc says of a candidate."""

    params: int
    macs: int
    receptive_field: int
    """The smaller of height and width, in input pixels."""
    margins: dict[str, float]
    """Signed margin of each limit, <= 0 holds."""
    broken: tuple[str, ...]
    """Names of the limits that do not hold, in the order of the budget; empty: admitted."""


class Gate:
    """Judges candidates by a budget and counts what it turns away, by the first limit that broke."""

    def __init__(self, budget: rfcalc.Budget, input_size: tuple[int, int, int]) -> None:
        self.budget = budget
        self.input_size = input_size
        self.rejections: Counter[str] = Counter()

    def judge(self, spec: NetSpec) -> Admission:
        """Analyse and judge `spec`; nothing is trained.

        Raises:
            SpecError: The spec is not a network at this input size.
        """
        analysis = rfcalc.analyze(build(spec), input_size=self.input_size)
        verdict = rfcalc.judge(analysis, self.budget)
        return Admission(
            params=analysis.params,
            macs=analysis.macs,
            receptive_field=min(analysis.field.size),
            margins={name: float(margin) for name, margin in verdict.margins.items()},
            broken=tuple(limit.name for limit in verdict.broken),
        )

    def admits(self, spec: NetSpec) -> bool:
        """Tell whether `spec` fits, and count it where it does not."""
        try:
            admission = self.judge(spec)
        except SpecError:
            self.rejections["not a network"] += 1
            return False
        if admission.broken:
            self.rejections[admission.broken[0]] += 1
        return not admission.broken
