"""The stages after the trials: the best of them trained longer, and the presets in just the same way."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from models.spec import NetSpec
from records.search import Finalist, PresetRun, TrialRecord
from records.text import percent
from search.errors import SearchError
from search.execute.job import Job
from search.keep.folder import RunFolder
from search.propose.gate import Gate
from search.propose.rivals import rival
from search.propose.sampler import trial_seed
from search.session.cost import Cost
from search.session.findings import Findings
from search.session.plan import SearchPlan
from search.session.stage import Context
from search.session.trainings import Trainings

PRESET_SEEDS = 1_000_000
"""The presets have the seeds of trials that no search gets to."""


class Finalists:
    """The stage of the finalists."""

    name = "finalists"

    def cost(self, plan: SearchPlan) -> Cost:
        """Return what the trainings of all finalists cost."""
        return _cost(plan, plan.settings.finalists)

    def run(self, context: Context, found: Findings) -> Findings:
        """Train the best trials again, longer."""
        finals = Finals(context.trainings(), context.plan.folder)
        return replace(found, finalists=tuple(finals.run_finalists()))


class Presets:
    """The stage of the presets."""

    name = "presets"

    def cost(self, plan: SearchPlan) -> Cost:
        """Return what the trainings of all presets cost."""
        return _cost(plan, len(plan.settings.presets))

    def run(self, context: Context, found: Findings) -> Findings:
        """Train the presets as the finalists were."""
        finals = Finals(context.trainings(), context.plan.folder)
        return replace(found, presets=tuple(finals.run_presets(context.gate, context.plan.base.classes)))


def _cost(plan: SearchPlan, networks: int) -> Cost:
    settings = plan.settings
    images = min(plan.train_images, settings.final_subset or plan.train_images)
    trainings = networks * settings.final_seeds
    return Cost(trainings, settings.final_epochs, images, plan.validation_images, settings.jobs)


@dataclass(frozen=True)
class Finals:
    """Longer trainings: each network with the same recipe, the same images and as many seeds."""

    trainings: Trainings
    folder: RunFolder

    def run_finalists(self) -> list[Finalist]:
        """Train the best trials again, longer, and return them, the best first.

        Raises:
            SearchError: No trial was completed, or no finalist.
            Stopped: The user asked for the end.
        """
        scored = [
            record
            for record in self.folder.trials()
            if record.state == "complete" and record.score is not None
        ]
        best = sorted(scored, key=lambda record: (-(record.score or 0), record.number))
        best = best[: self.trainings.settings.finalists]
        if not best:
            raise SearchError(
                "no trial was completed, there is nothing to choose from; trials.csv has the reasons"
            )
        found = self._train("finalists", best, [f"trial {trial.number}" for trial in best])
        chosen = [_finalist(trial, runs) for trial, runs in zip(best, found, strict=True) if runs]
        if not chosen:
            raise SearchError("every finalist failed; see the reasons in the folder finalists/")
        return sorted(chosen, key=lambda finalist: (-finalist.score, finalist.number))

    def run_presets(self, gate: Gate, classes: int) -> list[PresetRun]:
        """Train the presets as the finalists were, and return those that did not fail, the best first.

        They are a measure of the search and no candidates: none of them becomes the winner.

        Raises:
            Stopped: The user asked for the end.
        """
        names = self.trainings.settings.presets
        entered = [
            self._entered(number, rival(name, gate.input_size, classes), gate)
            for number, name in enumerate(names)
        ]
        found = self._train("presets", entered, [f"preset {name}" for name in names])
        chosen = [
            _preset_run(name, record, runs)
            for name, record, runs in zip(names, entered, found, strict=True)
            if runs
        ]
        return sorted(chosen, key=lambda preset: (-preset.score, preset.name))

    def _entered(self, number: int, spec: NetSpec, gate: Gate) -> TrialRecord:
        """Return what is known of a preset before it is trained."""
        known = gate.admission(spec)
        return TrialRecord(
            number=number,
            attempt=1,
            state="complete",
            spec=spec.to_json(),
            recipe={},
            seed=trial_seed(self.trainings.settings.seed, PRESET_SEEDS + number),
            values={},
            params=known.params,
            macs=known.macs,
            receptive_field=known.receptive_field,
            margins=known.margins,
            score=None,
            seconds=0.0,
        )

    def _train(
        self, stage: str, entered: Sequence[TrialRecord], titles: Sequence[str]
    ) -> list[list[TrialRecord]]:
        """Train each network with every seed, but for what an earlier session did; return its complete runs.

        The folder `stage` has the records of the first runs, its `run-2`, `run-3`, ... those of the others.
        """
        settings, display = self.trainings.settings, self.trainings.display
        shelves = [stage, *(f"{stage}/run-{run}" for run in range(2, settings.final_seeds + 1))]
        ended = {
            (shelf, record.number): record
            for shelf in shelves
            for record in self.folder.trials(shelf)
            if record.state == "complete"
        }
        jobs: list[tuple[Job, str]] = []
        wanted: dict[tuple[int, int], tuple[str, TrialRecord]] = {}
        for run, shelf in enumerate(shelves, 1):
            for record, title in zip(entered, titles, strict=True):
                if (shelf, record.number) in ended:
                    continue
                # The first run has the trial's own seed.
                seed = record.seed if run == 1 else trial_seed(record.seed, run)
                job = self.trainings.job(
                    record.number, record.spec, settings.final_recipe, settings.final_subset, seed
                )
                jobs.append((job, title))
                wanted[job.key] = shelf, record
        total = len(shelves) * len(entered)
        display.stage(stage, total, total - len(jobs))
        for job, title, outcome in self.trainings.whole(jobs):
            shelf, record = wanted[job.key]
            record = replace(
                record,
                attempt=outcome.attempt,
                state=outcome.state,
                recipe=job.recipe,
                seed=job.seed,
                score=outcome.score,
                seconds=outcome.seconds,
                epochs=outcome.epochs,
                reason=outcome.reason,
            )
            self.folder.keep(record, shelf)
            if record.state == "complete":
                ended[shelf, record.number] = record
                display.advance(f"{title}: {percent(record.score)}")
            else:
                display.say(f"{title} failed at the longer training: {record.reason}", style="yellow")
        return [
            [ended[shelf, record.number] for shelf in shelves if (shelf, record.number) in ended]
            for record in entered
        ]


def _finalist(trial: TrialRecord, runs: Sequence[TrialRecord]) -> Finalist:
    assert trial.score is not None
    return Finalist(number=trial.number, trial_score=trial.score, **_reached(trial, runs))


def _preset_run(name: str, preset: TrialRecord, runs: Sequence[TrialRecord]) -> PresetRun:
    return PresetRun(name=name, **_reached(preset, runs))


def _reached(network: TrialRecord, runs: Sequence[TrialRecord]) -> dict[str, Any]:
    """Return what finalists and presets have in common: the network's figures, and what came of its runs."""
    scores = tuple(record.score for record in runs if record.score is not None)
    return {
        "score": fmean(scores),
        "params": network.params,
        "macs": network.macs,
        "receptive_field": network.receptive_field,
        "epochs": len(runs[0].epochs),
        "seconds": sum(record.seconds for record in runs),
        "scores": scores if len(scores) > 1 else (),
    }
