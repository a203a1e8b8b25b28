"""How long a search takes and how much disk it needs, shown before it starts."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch

from models.arithmetic import figures
from models.net import build
from search.execute.worker import Share
from search.session.cost import Cost
from search.session.plan import SearchPlan
from training.data.registry import holdout
from training.data.samples import Samples
from training.fit.loop import fit

PROBE_BATCHES = 6
RUN_FOLDER_BYTES = 5_000_000


@dataclass(frozen=True)
class Forecast:
    """What is left to do when a session starts."""

    seconds: float
    folder_bytes: int
    """What the run folder will take."""
    cache_bytes: int
    """What the decoded images take in the cache, from the first start on."""
    images_per_second: float
    """Of one training, measured now on the base network, augmentation included."""


def forecast(plan: SearchPlan, costs: Iterable[Cost]) -> Forecast:
    """Measure the training speed of the base network for some seconds, and scale it to the stages' costs."""
    speed = _speed(plan)
    work = sum(cost.passes for cost in costs)
    if plan.settings.space == "full" and plan.screening is not None:
        # The candidates are other networks than the base.
        work *= plan.screening.macs[1] / figures(plan.base).macs
    cache = plan.dataset.train.images.nbytes + plan.dataset.test.images.nbytes
    return Forecast(work / speed, RUN_FOLDER_BYTES, cache, speed)


def _speed(plan: SearchPlan) -> float:
    """Return the images a second of one training, with the threads that each of several at a time has."""
    settings = plan.settings
    train, _ = holdout(plan.dataset.train.labels)
    recipe = replace(settings.trial_recipe, epochs=2)
    probe = Samples.of(plan.dataset.train, train[: PROBE_BATCHES * recipe.batch_size], plan.dataset)
    threads = torch.get_num_threads()
    torch.set_num_threads(Share(settings.device, settings.jobs).threads)
    try:
        torch.manual_seed(0)
        history = fit(build(plan.base), probe, None, recipe, seed=0, device=settings.device)
    finally:
        torch.set_num_threads(threads)
    # The second epoch: the first one also warms up caches and threads.
    return len(probe) / history.epochs[-1].seconds
