"""What a search writes beside its trials: search.json, and the winner under best/."""

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import rfcalc
from models.source import standalone_source
from models.spec import NetSpec
from records.environment import describe
from records.files import write_json, write_text
from records.layout import RUN
from records.run import DatasetFacts
from records.search import (
    STATES,
    Finalist,
    FrontPoint,
    LimitRecord,
    PresetRun,
    SearchRecord,
    TrialRecord,
)
from search.keep.storage import hidden
from search.propose.gate import Gate
from search.session.prepare import Plan
from search.settings import Settings
from training.data.registry import holdout
from training.fit.runfolder import dataset_facts


@dataclass
class Chronicle:
    """Keeps search.json and trials.csv up to date while the search goes on."""

    plan: Plan
    facts: DatasetFacts
    gate: Gate
    command: str
    stage: str = "trials"
    finalists: tuple[Finalist, ...] = ()
    presets: tuple[PresetRun, ...] = ()
    winner: int | None = None
    importances: dict[str, float] = field(default_factory=dict)
    verdict: tuple[LimitRecord, ...] = ()
    front: tuple[FrontPoint, ...] = ()
    note: str | None = None
    """Why there are fewer trials than were asked for."""
    _clock: float = field(default_factory=time.monotonic)
    _started: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

    def __post_init__(self) -> None:
        """Describe the machine once: git and the package metadata take a moment."""
        self._environment = describe(self.plan.settings.device)

    def record(
        self, records: list[TrialRecord], state: str = "running", reason: str | None = None
    ) -> SearchRecord:
        """Return the search as it stands."""
        plan, previous = self.plan, self.plan.previous
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
            dataset=self.facts,
            environment=self._environment,
            trials={**{name: counts[name] for name in STATES}, "rejected": sum(rejections.values())},
            rejections=dict(rejections.most_common()),
            importances=self.importances,
            finalists=self.finalists,
            presets=self.presets,
            winner=self.winner,
            verdict=self.verdict,
            reason=reason or self.note,
            screening=plan.screening,
            front=self.front,
        )

    def keep(
        self, records: list[TrialRecord], state: str = "running", reason: str | None = None
    ) -> SearchRecord:
        """Write the files; return what search.json says now."""
        record = self.record(records, state, reason)
        self.plan.folder.keep_search(record, records)
        return record


def _public(settings: Settings) -> dict[str, Any]:
    """Return the settings without a password: the file is read and shown by others."""
    url = settings.storage
    return replace(settings, storage=None if url is None else hidden(url)).to_json()


def trial_facts(plan: Plan) -> DatasetFacts:
    """Return what search.json says of the images; the training images are those of a trial."""
    train, validation = holdout(plan.dataset.train.labels)
    images = min(len(train), plan.settings.subset or len(train))
    return dataset_facts(plan.dataset, images, len(validation))


def write_network(folder: Path, spec: NetSpec) -> None:
    """Write the winner's spec.json and its standalone model.py."""
    write_json(folder / "spec.json", spec.to_json())
    write_text(folder / "model.py", standalone_source(spec))


def judge(
    spec_file: Path, budget: rfcalc.Budget, input_size: tuple[int, int, int]
) -> tuple[LimitRecord, ...]:
    """Judge the network that best/model.py builds, not the one that was meant."""
    analysis = rfcalc.analyze(rfcalc.load_model(str(spec_file)), input_size=input_size)
    verdict = rfcalc.judge(analysis, budget)
    return tuple(
        LimitRecord(
            name=limit.name,
            limit=limit.bound,
            value=limit.value,
            margin=float(limit.margin or 0),
            holds=limit.held,
        )
        for limit in verdict.limits
    )
