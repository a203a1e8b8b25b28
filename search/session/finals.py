"""The race: the best trials and the best presets, trained with seeds that no stage has used.

The best of many trials owes a part of its loss to chance, 1.7 points of accuracy for the best of 20. So the
choice rests on new runs: seed after seed for each network that is still in question, until one is ahead of
the best preset by more than chance, none can be any more, or the time is over. The preset stays unless it is
beaten.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from records.search import Finalist, LossDifference
from records.text import percent
from records.trial import TrialRecord, ranked
from search.errors import SearchError
from search.execute.job import Job
from search.keep.folder import RunFolder
from search.propose.around import AROUND
from search.propose.ranker import kendall_tau
from search.propose.sampler import trial_seed
from search.session.cost import Cost
from search.session.ended import trained_again
from search.session.findings import Findings
from search.session.lineage import lineage
from search.session.paired import Losses, Noise, difference, paired
from search.session.plan import SearchPlan
from search.session.presets import PRESETS, contenders, preset_runs
from search.session.stage import Context
from search.session.timing import MARGIN
from search.session.trainings import Trainings

RACE_SEEDS = 3_000_000
"""The race has the seeds of trials that no search gets to."""
FINALISTS = "finalists"
"""Folder of its records."""
InTime = Callable[[float], bool]
"""Is called with seconds; tells whether the search still has them."""
LEAST = 2
"""Seeds before anything is decided, where so many are allowed."""


class Finalists:
    """The stage of the finalists."""

    name = FINALISTS

    def cost(self, plan: SearchPlan) -> Cost:
        """Return what the race costs at the least: two seeds of each finalist and of the best preset."""
        settings = plan.settings
        images = min(plan.train_images, settings.final_subset or plan.train_images)
        entrants = settings.finalists + bool(settings.presets or settings.space == AROUND)
        runs = entrants * min(LEAST, settings.final_seeds)
        return Cost(runs, settings.final_epochs, images, plan.validation_images, settings.jobs)

    def run(self, context: Context, found: Findings) -> Findings:
        """Race the best trials and presets, and choose among them."""
        settings, folder = context.plan.settings, context.plan.folder
        trials = folder.trials()
        presets = ranked([*folder.trials(PRESETS), *(record for record in trials if record.preset)])

        def in_time(seconds: float) -> bool:
            limit = settings.time_limit
            return limit is None or context.chronicle.elapsed + MARGIN * seconds <= limit

        race = Race(context.trainings(), folder, in_time)
        standings = race.run(entrants(trials, presets, settings.finalists, folder))
        finalists = tuple(each.finalist() for each in standings)
        winner = choose(standings)
        taus = dict(found.taus)
        tau = kendall_tau([each.record.loss or 0.0 for each in standings], [each.loss for each in standings])
        if tau is not None:
            taus[f"loss as a trial, {len(standings)} finalists"] = tau
        return replace(
            found,
            finalists=finalists,
            presets=found.presets or preset_runs(presets),
            winner=winner.record.number,
            best_known=next((each.record.preset for each in standings if each.record.preset), None),
            taus=taus,
            lineage=lineage(winner.record, trials, folder),
        )


@dataclass
class Racer:
    """A network in the race."""

    record: TrialRecord
    """Of its trial."""
    runs: list[TrialRecord] = field(default_factory=list)
    images: list[Losses | None] = field(default_factory=list)
    """Validation loss of each image, run by run."""
    gap: LossDifference | None = None
    """Against the best preset."""

    @property
    def loss(self) -> float:
        """Mean validation loss of the runs."""
        return fmean(run.loss or 0.0 for run in self.runs)

    @property
    def score(self) -> float:
        """Mean validation accuracy of the runs, 0-1."""
        return fmean(run.score or 0.0 for run in self.runs)

    def finalist(self) -> Finalist:
        """Return it as search.json holds it."""
        record = self.record
        scores = tuple(run.score or 0.0 for run in self.runs)
        return Finalist(
            number=record.number,
            score=self.score,
            trial_score=record.score or 0.0,
            params=record.params,
            macs=record.macs,
            receptive_field=record.receptive_field,
            epochs=len(self.runs[0].epochs),
            seconds=sum(run.seconds for run in self.runs),
            scores=scores if len(scores) > 1 else (),
            preset=record.preset,
            losses=tuple(run.loss or 0.0 for run in self.runs),
            gap=self.gap,
        )


def entrants(
    trials: Sequence[TrialRecord], presets: Sequence[TrialRecord], count: int, folder: RunFolder
) -> list[TrialRecord]:
    """Return who races: the best `count` trials, and the presets that are contenders.

    Raises:
        SearchError: No trial was completed.
    """
    found = [record for record in ranked(trials) if record.preset is None][:count]
    best = contenders(presets, folder)
    if not found and not best:
        raise SearchError(
            "no trial was completed, there is nothing to choose from; trials.csv has the reasons"
        )
    return [*found, *best]


@dataclass(frozen=True)
class Race:
    """Trains networks seed after seed until it is decided which is the best."""

    trainings: Trainings
    folder: RunFolder
    in_time: InTime = lambda seconds: True

    def run(self, networks: Sequence[TrialRecord]) -> list[Racer]:
        """Return the networks that did not fail, the best first.

        Raises:
            SearchError: Every one failed.
            Stopped: The user asked for the end.
        """
        standings = [Racer(record) for record in networks]
        seeds = self.trainings.settings.final_seeds
        self.trainings.display.stage(FINALISTS, len(networks) * min(LEAST, seeds))
        going = list(standings)
        for number in range(1, seeds + 1):
            seconds = max((run.seconds for each in going for run in each.runs[-1:]), default=0.0)
            rounds = -(-len(going) // self.trainings.settings.jobs)
            if number > LEAST and not self._kept(number) and not self.in_time(seconds * rounds):
                self.trainings.display.say(
                    f"the time is over after {number - 1} seeds of each finalist", style="yellow"
                )
                break
            self._round(going, number)
            going = [each for each in going if len(each.runs) == number]
            standings = [each for each in standings if each.runs]
            if not going:
                raise SearchError("every finalist failed; see the reasons in the folder finalists/")
            compare(standings)
            if number >= LEAST or all(each.record.preset for each in going):
                going = undecided(going)
            if not going:
                break
        return sorted(standings, key=lambda each: (each.loss, each.record.number))

    def _kept(self, number: int) -> bool:
        """Return whether an earlier session has begun with this seed."""
        return bool(self.folder.trials(shelf(number)))

    def _round(self, going: Sequence[Racer], number: int) -> None:
        """Train each network with the seed of this round, but for what an earlier session did."""
        settings, display, place = self.trainings.settings, self.trainings.display, shelf(number)
        ended = {record.number: record for record in self.folder.trials(place) if record.state == "complete"}
        seed = trial_seed(settings.seed, RACE_SEEDS + number)
        jobs: list[tuple[Job, str]] = []
        for each in going:
            if each.record.number not in ended:
                job = self.trainings.job(
                    each.record.number, each.record.spec, settings.final_recipe, settings.final_subset, seed
                )
                jobs.append((job, each.record.title))
        by_number = {each.record.number: each for each in going}
        for job, title, outcome in self.trainings.whole(jobs):
            record = trained_again(by_number[job.number].record, job, outcome)
            self.folder.keep_losses(record, outcome.losses, place)
            self.folder.keep(record, place)
            if record.state == "complete":
                ended[record.number] = record
                display.advance(f"{title}, seed {number}: {percent(record.score)}")
            else:
                display.say(f"{title} failed as a finalist: {record.reason}", style="yellow")
        for each in going:
            if (found := ended.get(each.record.number)) is not None:
                each.runs.append(found)
                each.images.append(self.folder.losses(found, place))


def compare(standings: Sequence[Racer]) -> None:
    """Hold each network against the best preset, over the seeds that both have."""
    presets = [each for each in standings if each.record.preset is not None]
    if not presets:
        return
    best = min(presets, key=lambda each: (each.loss, each.record.number))
    common = min(len(each.runs) for each in standings)
    noise = Noise.measured([[run.loss or 0.0 for run in each.runs[:common]] for each in standings])
    best.gap = None
    for each in standings:
        if each is best:
            continue
        runs = min(len(each.runs), len(best.runs))
        ours, theirs = (fmean(run.score or 0.0 for run in of.runs[:runs]) for of in (each, best))
        each.gap = difference(
            [run.loss or 0.0 for run in each.runs[:runs]],
            [run.loss or 0.0 for run in best.runs[:runs]],
            noise,
            paired(each.images[:runs], best.images[:runs]),
            points=100 * (ours - theirs),
        )


def undecided(going: Sequence[Racer]) -> list[Racer]:
    """Return the networks that need another seed; none where it is decided who wins."""
    ahead = min(going, key=lambda each: (each.loss, each.record.number))
    if ahead.gap is not None and ahead.record.preset is None and ahead.gap.better:
        return []
    left = [each for each in going if each.gap is None or not each.gap.worse]
    return left if any(each.record.preset is None for each in left) and len(left) > 1 else []


def choose(standings: Sequence[Racer]) -> Racer:
    """Return the best network that beats the best preset by more than chance, else that preset."""
    presets = [each for each in standings if each.record.preset is not None]
    if not presets:
        return standings[0]
    better = [
        each for each in standings if each.gap is not None and each.gap.better and not each.record.preset
    ]
    return better[0] if better else presets[0]


def shelf(number: int) -> str:
    """Return the folder of the runs with one seed."""
    return FINALISTS if number == 1 else f"{FINALISTS}/run-{number}"
