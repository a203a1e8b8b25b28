"""How long a search takes and how much disk it needs, shown before it starts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from models.arithmetic import figures
from models.net import build
from models.spec import NetSpec
from search.errors import TooShortError
from search.execute.worker import Share
from search.session.chronicle import WINNER
from search.session.cost import Cost
from search.session.plan import SearchPlan
from search.session.timing import MARGIN
from search.settings import Settings
from training.data.registry import holdout
from training.data.samples import Samples
from training.fit.loop import fit

PROBE_BATCHES = 6
RUN_FOLDER_BYTES = 5_000_000


@dataclass(frozen=True)
class Forecast:
    """What is left to do when a session starts."""

    seconds: float
    """Of the search without the winner's own training; at most its time limit."""
    winner_seconds: float
    """Of the winner's own training, if it is as fast as the base network."""
    folder_bytes: int
    """What the run folder will take."""
    cache_bytes: int
    """What the decoded images take in the cache, from the first start on."""
    images_per_second: float
    """Of one training, measured now on the base network, augmentation included."""


def forecast(plan: SearchPlan, costs: Mapping[str, Cost]) -> Forecast:
    """Measure the training speed of the base network for some seconds, and scale it to the stages' costs.

    Raises:
        TooShortError: The time limit is too short for the presets, a trial and the finalists.
    """
    settings = plan.settings
    alone = winner_threads(settings)
    each = speed(plan, plan.base, settings.threads or Share(settings.device, settings.jobs).threads)
    work = sum(cost.passes for name, cost in costs.items() if name != WINNER)
    if settings.space == "full" and plan.screening is not None:
        # The candidates are other networks than the base.
        work *= plan.screening.macs[1] / figures(plan.base).macs
    seconds = work / each
    if plan.previous is None:
        check_time(plan, costs, each)
    if settings.time_limit is not None:
        spent = plan.previous.seconds if plan.previous else 0.0
        seconds = min(seconds, max(0.0, settings.time_limit - spent))
    winner = costs[WINNER].passes / (each if alone == settings.threads else speed(plan, plan.base, alone))
    if settings.winner_time is not None:
        winner = min(winner, settings.winner_time)
    cache = plan.dataset.train.images.nbytes + plan.dataset.test.images.nbytes
    return Forecast(seconds, winner, RUN_FOLDER_BYTES, cache, each)


def winner_threads(settings: Settings) -> int:
    """Return the CPU threads of the winner's own training: the machine's, on a cluster those of a job."""
    return settings.cpus_per_job or Share(settings.device, 1).threads


def with_forecast(plan: SearchPlan, costs: Mapping[str, Cost], *, given: bool) -> tuple[SearchPlan, Forecast]:
    """Return the plan and its forecast; a time limit that nobody chose is raised where the machine is slow.

    Args:
        plan: The search.
        costs: Of its stages.
        given: The user named the limit, which then stays as it is.

    Raises:
        TooShortError: The time limit is too short.
    """
    try:
        return plan, forecast(plan, costs)
    except TooShortError as error:
        if given:
            raise
        # A quarter more: a busy machine is measured faster or slower from one moment to the next.
        limit = 60.0 * math.ceil(1.25 * error.needed / 60)
    plan = replace(plan, settings=replace(plan.settings, time_limit=limit))
    return plan, forecast(plan, costs)


def check_time(plan: SearchPlan, costs: Mapping[str, Cost], images_per_second: float) -> None:
    """Refuse a time limit in which a search cannot find anything.

    Raises:
        TooShortError: It is too short; the text says how long it must be.
    """
    settings = plan.settings
    if settings.time_limit is None:
        return
    trials = costs["trials"]
    presets = replace(trials, trainings=max(1, len(settings.presets)))
    children = replace(
        trials, trainings=min(max(2, settings.jobs), max(0, settings.trials - presets.trainings))
    )
    least = [presets, children, costs["finalists"]]
    needed = MARGIN * sum(cost.passes for cost in least) / images_per_second
    if needed > settings.time_limit:
        raise TooShortError(
            f"--time-limit {settings.time_limit:g}s: too short for the presets, {children.trainings:g} "
            f"trials and the finalists: about {needed:.0f}s at {images_per_second:,.0f} images/s; raise it, "
            "or lower --epochs, --subset, --final-epochs, --final-subset or --finalists",
            needed,
        )


def speed(plan: SearchPlan, spec: NetSpec, threads: int, batches: int = PROBE_BATCHES) -> float:
    """Return the images a second of one training of `spec`, with so many threads, measured now.

    Args:
        plan: The search.
        spec: What is trained.
        threads: Of torch's kernels.
        batches: How many are trained on, twice after one pass that warms up.
    """
    settings = plan.settings
    train, _ = holdout(plan.dataset.train.labels)
    recipe = replace(settings.trial_recipe, epochs=3)
    probe = Samples.of(plan.dataset.train, train[: batches * recipe.batch_size], plan.dataset)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(0)
        history = fit(build(spec), probe, None, recipe, seed=0, device=settings.device)
    finally:
        torch.set_num_threads(before)
    # The first epoch also warms up caches and threads.
    return len(probe) / min(epoch.seconds for epoch in history.epochs[1:])
