"""search.json and trials.csv, kept up to date while the search goes on."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from records.environment import describe
from records.run import DatasetFacts
from records.search import SearchRecord, StageRecord
from records.trial import STATES, TrialRecord
from search.keep.storage import hidden
from search.propose.gate import Gate
from search.session.cost import Cost
from search.session.findings import Findings
from search.session.plan import SearchPlan
from search.settings import Settings
from training.fit.runfolder import dataset_facts

WINNER = "winner"
"""The stage whose time is outside of the time limit."""
EVERY = 1.0
"""Seconds between two writings of the files, at the least: both hold all trials."""
SHARE = 10.0
"""The files of a long search take long to write: this many times that is waited before the next time."""


@dataclass
class Chronicle:
    """Writes what is known of a search.

    The trials' own records are written one by one and before anything else; these two files are made of them,
    so a kill loses at most their last second, which the next session writes again.

    Attributes:
        plan: The search.
        gate: Counts what was turned away.
        command: The command line of this session, without passwords.
        stage: The stage that is under way.
        findings: What the stages before have found.
    """

    plan: SearchPlan
    gate: Gate
    command: str
    stage: str = "trials"
    findings: Findings = field(default_factory=Findings)
    _stages: dict[str, StageRecord] = field(default_factory=dict)
    _clock: float = field(default_factory=time.monotonic)
    _started: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    _due: float = 0.0

    def __post_init__(self) -> None:
        """Describe images and machine once: git and the package metadata take a moment."""
        self._environment = describe(self.plan.settings.device)
        self._facts = _trial_facts(self.plan)
        if self.plan.previous is not None:
            self._stages = {each.name: each for each in self.plan.previous.stages}

    @property
    def elapsed(self) -> float:
        """Seconds that the search has taken, all sessions together, without the winner's own training."""
        before = 0.0
        if (previous := self.plan.previous) is not None:
            winner = sum(each.seconds for each in previous.stages if each.name == WINNER)
            before = max(0.0, previous.seconds - winner)
        return before + time.monotonic() - self._clock

    def ended(self, name: str, cost: Cost, seconds: float) -> None:
        """Add what a stage took in this session to what it took in earlier ones."""
        if not cost.trainings and seconds < 1:
            return  # a stage that this search does not have
        before = self._stages[name].seconds if name in self._stages else 0.0
        self._stages[name] = StageRecord(name, cost.epochs, cost.images, round(before + seconds, 1))

    def record(
        self, records: Sequence[TrialRecord], state: str = "running", reason: str | None = None
    ) -> SearchRecord:
        """Return the state of the search."""
        plan, previous, found = self.plan, self.plan.previous, self.findings
        rejections = Counter(previous.rejections if previous else {}) + self.gate.rejections
        counts = Counter(record.state for record in records)
        return SearchRecord(
            name=plan.folder.path.name,
            state=state,
            stage=self.stage,
            started=previous.started if previous else self._started,
            seconds=round(time.monotonic() - self._clock + (previous.seconds if previous else 0.0), 1),
            command=previous.command if previous else self.command,
            seed=plan.settings.seed,
            sampler=plan.settings.sampler,
            base=plan.settings.base,
            wanted=plan.settings.trials,
            settings=_public(plan.settings),
            budget=dict(self.gate.budget.limits()),
            dataset=self._facts,
            environment=self._environment,
            trials={**{name: counts[name] for name in STATES}, "rejected": sum(rejections.values())},
            rejections=dict(rejections.most_common()),
            importances=found.importances,
            finalists=found.finalists,
            presets=found.presets,
            winner=found.winner,
            best_known=found.best_known,
            winner_epochs=found.winner_epochs or (previous.winner_epochs if previous else None),
            taus=found.taus,
            lineage=found.lineage,
            verdict=found.verdict,
            reason=reason or found.reason,
            screening=plan.screening,
            front=found.front,
            stages=tuple(self._stages.values()),
        )

    def keep(
        self, records: Sequence[TrialRecord], state: str = "running", reason: str | None = None
    ) -> SearchRecord:
        """Write the files now; return what search.json holds."""
        began = time.monotonic()
        record = self.record(records, state, reason)
        self.plan.folder.keep_search(record, records)
        now = time.monotonic()
        self._due = now + max(EVERY, SHARE * (now - began))
        return record

    def keep_soon(self, records: Sequence[TrialRecord]) -> SearchRecord | None:
        """Write the files unless they were written a moment ago; return what search.json holds then."""
        return self.keep(records) if time.monotonic() >= self._due else None


def _trial_facts(plan: SearchPlan) -> DatasetFacts:
    """Return what search.json holds about the images; the training images are those of a trial."""
    images = min(plan.train_images, plan.settings.subset or plan.train_images)
    return dataset_facts(plan.dataset, images, plan.validation_images)


def _public(settings: Settings) -> dict[str, Any]:
    """Return the settings without a password: the file is read and shown by others."""
    url = settings.storage
    return replace(settings, storage=None if url is None else hidden(url)).to_json()
