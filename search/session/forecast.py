"""How long a search takes and how much disk it needs, said before it starts."""

from dataclasses import dataclass, replace

import torch

from models.arithmetic import figures
from models.net import build
from search.session.prepare import Plan
from training.data.registry import holdout
from training.data.samples import Samples
from training.fit.loop import fit

PROBE_BATCHES = 6
PRUNED_SHARE = 0.9
"""Share of the epochs that trials train, since some are pruned; seen in searches of 50 trials."""
VALIDATION_COST = 0.3
"""Seconds of judging an image, in seconds of training on one: a forward pass without the backward one."""
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
    """Measured now, on the base network, augmentation included."""


def forecast(plan: Plan, trials_left: int) -> Forecast:
    """Measure the training speed of the base network for some seconds, and scale it to the whole search."""
    settings = plan.settings
    train, validation = holdout(plan.dataset.train.labels)
    recipe = replace(settings.trial_recipe, epochs=2)
    probe = Samples.of(plan.dataset.train, train[: PROBE_BATCHES * recipe.batch_size], plan.dataset)
    torch.manual_seed(0)
    history = fit(build(plan.base), probe, None, recipe, seed=0, device=settings.device)
    # The second epoch: the first one also warms up caches and threads.
    speed = len(probe) / history.epochs[-1].seconds
    judged = VALIDATION_COST * len(validation)
    trial = min(len(train), settings.subset or len(train)) + judged
    final = min(len(train), settings.final_subset or len(train)) + judged
    work = (
        trials_left * settings.epochs * trial * PRUNED_SHARE / settings.jobs
        + (settings.finalists + len(settings.presets)) * settings.final_seeds * settings.final_epochs * final
        + settings.winner_epochs * len(plan.dataset.train)
    )
    if settings.space == "full" and plan.screening is not None:
        # The candidates are other networks than the base.
        work *= plan.screening.macs[1] / figures(plan.base).macs
    cache = plan.dataset.train.images.nbytes + plan.dataset.test.images.nbytes
    return Forecast(work / speed, RUN_FOLDER_BYTES, cache, speed)
