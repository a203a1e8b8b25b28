"""The time limit: when no new trial is begun, so that there is time for the finalists and the winner."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from records.trial import TrialRecord
from search.session.cost import Cost

MARGIN = 1.1
"""What follows is planned a tenth longer than the trials suggest: evaluating and writing take time too."""


@dataclass
class TimeLimit:
    """Decides whether a new trial may begin.

    Attributes:
        seconds: The limit of the whole search, all sessions together; None: there is none.
        trial: What one trial costs.
        later: What the stages after the trials cost.
        spent: Seconds of earlier sessions.
    """

    seconds: float | None
    trial: Cost
    later: Sequence[Cost]
    spent: float = 0.0
    _start: float = field(default_factory=time.monotonic)

    def allows(self, records: Sequence[TrialRecord]) -> bool:
        """Return whether a trial may begin; until one is complete it may: there is nothing to choose from."""
        if self.seconds is None or not any(record.state == "complete" for record in records):
            return True
        return self.elapsed + self.reserve(records) < self.seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the search began, all sessions together."""
        return self.spent + time.monotonic() - self._start

    def reserve(self, records: Sequence[TrialRecord]) -> float:
        """Return the seconds that a last trial and the later stages will take, judged by past trials."""
        ended = [record for record in records if record.epochs]
        passes = sum(replace(self.trial, epochs=len(record.epochs)).passes for record in ended)
        if not passes:
            return 0.0
        seconds_per_pass = sum(record.seconds for record in ended) / passes
        return MARGIN * seconds_per_pass * sum(cost.passes for cost in (self.trial, *self.later))
