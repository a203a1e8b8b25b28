"""The presets as trials, for a space that they are not part of."""

from collections.abc import Sequence
from dataclasses import replace

from models.spec import NetSpec
from records.search import PresetRun
from records.text import percent
from records.trial import TrialRecord, by_loss
from search.execute.job import Job
from search.keep.folder import RunFolder
from search.propose.around import AROUND
from search.propose.gate import Gate
from search.propose.rivals import fitted
from search.propose.sampler import trial_seed
from search.session.cost import Cost
from search.session.ended import trial_record
from search.session.findings import Findings
from search.session.paired import Noise, difference, paired
from search.session.plan import SearchPlan
from search.session.stage import Context
from search.session.trainings import Trainings

PRESET_SEEDS = 1_000_000
"""Presets that are no trials of the study have the numbers and seeds of trials that no search gets to."""
PRESETS = "presets"
"""Folder of their records."""


class Presets:
    """The stage of the presets, for spaces that they are not part of; otherwise they are the first trials."""

    name = PRESETS

    def cost(self, plan: SearchPlan) -> Cost:
        """Return what the presets that are missing cost, each trained once as a trial is."""
        settings = plan.settings
        images = min(plan.train_images, settings.subset or plan.train_images)
        done = {record.number for record in plan.folder.trials(PRESETS) if record.state == "complete"}
        missing = 0 if settings.space == AROUND else max(0, len(settings.presets) - len(done))
        return Cost(missing, settings.epochs, images, plan.validation_images, settings.jobs)

    def run(self, context: Context, found: Findings) -> Findings:
        """Train the presets as trials are trained."""
        if context.plan.settings.space == AROUND:
            return found
        trained = train_presets(
            context.trainings(), context.plan.folder, context.gate, context.plan.base.classes
        )
        return replace(found, presets=preset_runs(trained))


def contenders(presets: Sequence[TrialRecord], folder: RunFolder) -> list[TrialRecord]:
    """Return the presets that race: the best by its trial, and the second where it is as good as that.

    As good is a trial that is behind by no more than one standard error of images and seeds. More would cost
    the time of a generation, to tell presets apart that are level.

    Args:
        presets: Their trials, the best first.
        folder: Of the search, which has the losses of each image.
    """
    if len(presets) < 2:
        return list(presets)
    best, second = presets[:2]
    ours, theirs = (
        folder.losses(each, PRESETS if each.number >= PRESET_SEEDS else "trials") for each in (second, best)
    )
    gap = difference([second.loss or 0.0], [best.loss or 0.0], Noise(), paired([ours], [theirs]))
    return [best, second] if gap.loss <= gap.error else [best]


def train_presets(trainings: Trainings, folder: RunFolder, gate: Gate, classes: int) -> list[TrialRecord]:
    """Train each preset once, as trials are; return those that did not fail, the best first.

    Raises:
        Stopped: The user asked for the end.
    """
    settings = trainings.settings
    ended = {record.number: record for record in folder.trials(PRESETS) if record.state == "complete"}
    entered: dict[int, tuple[str, NetSpec]] = {}
    jobs: list[tuple[Job, str]] = []
    for place, (name, found) in enumerate(settings.candidates.items()):
        number, spec = PRESET_SEEDS + place, fitted(found, gate.input_size, classes)
        if number in ended:
            continue
        entered[number] = name, spec
        seed = trial_seed(settings.seed, number)
        job = trainings.job(number, spec.to_json(), settings.trial_recipe, settings.subset, seed)
        jobs.append((job, f"preset {name}"))
    trainings.display.stage(PRESETS, len(settings.presets), len(settings.presets) - len(jobs))
    for job, title, outcome in trainings.whole(jobs):
        name, spec = entered[job.number]
        record = trial_record(job, outcome, gate.admission(spec), {}, preset=name, arm="preset")
        folder.keep_losses(record, outcome.losses, PRESETS)
        folder.keep(record, PRESETS)
        if record.state == "complete":
            ended[record.number] = record
            trainings.display.advance(f"{title}: {percent(record.score)}")
        else:
            trainings.display.say(f"{title} failed: {record.reason}", style="yellow")
    return sorted(ended.values(), key=by_loss)


def preset_runs(records: Sequence[TrialRecord]) -> tuple[PresetRun, ...]:
    """Return the presets' trials as search.json holds them, the best first."""
    return tuple(
        PresetRun(
            name=record.preset or record.title,
            score=record.score or 0.0,
            params=record.params,
            macs=record.macs,
            receptive_field=record.receptive_field,
            epochs=len(record.epochs),
            seconds=record.seconds,
        )
        for record in records
    )


def spec_of(number: int, folder: RunFolder) -> NetSpec:
    """Return the network of a trial or preset."""
    records = (*folder.trials(), *folder.trials(PRESETS))
    return NetSpec.from_json(next(record.spec for record in records if record.number == number))
