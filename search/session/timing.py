"""The time limit: when no new trial is begun, so that there is time for the finalists and the winner."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from records.search import TrialRecord
from search.settings import Settings

MARGIN = 1.1
"""Longer runs are planned a tenth longer than the trials suggest: evaluating and writing take time too."""


@dataclass
class TimeLimit:
    """Tells whether a new trial may begin.

    Attributes:
        settings: The stages' budgets, and the limit in seconds.
        train_images: Of the split that trials and finalists train on.
        all_images: What the winner trains on.
        spent: Seconds of earlier sessions.
    """

    settings: Settings
    train_images: int
    all_images: int
    spent: float = 0.0
    _start: float = field(default_factory=time.monotonic)

    def allows(self, records: Sequence[TrialRecord]) -> bool:
        """Tell whether a trial may begin; until one is complete it may: there is nothing to choose from."""
        limit = self.settings.time_limit
        if limit is None or not any(record.state == "complete" for record in records):
            return True
        return self.elapsed + self.reserve(records) < limit

    @property
    def elapsed(self) -> float:
        """Seconds since the search began, all sessions together."""
        return self.spent + time.monotonic() - self._start

    def reserve(self, records: Sequence[TrialRecord]) -> float:
        """Return the seconds that a last trial, finalists and winner will take, judged by the trials."""
        settings = self.settings
        ended = [record for record in records if record.epochs]
        seen = sum(len(record.epochs) for record in ended) * self._images(settings.subset)
        if not seen:
            return 0.0
        seconds = sum(record.seconds for record in ended) / seen
        networks = settings.finalists + len(settings.presets)
        final = networks * settings.final_seeds * settings.final_epochs
        return (
            MARGIN
            * seconds
            * (
                settings.epochs * self._images(settings.subset)
                + final * self._images(settings.final_subset) / min(settings.jobs, settings.finalists)
                + settings.winner_epochs * self.all_images
            )
        )

    def _images(self, subset: int | None) -> int:
        return min(self.train_images, subset or self.train_images)
