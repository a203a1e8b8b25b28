"""What a stage of a search costs."""

from dataclasses import dataclass

VALIDATION_COST = 0.3
"""Time to judge an image in times to train on one: a forward pass without the backward one."""


@dataclass(frozen=True)
class Cost:
    """What a stage trains; forecast and time limit both add up these.

    A pass is the time in which one of the trainings that run at once learns from one image.
    """

    trainings: float
    """How many there are, or are expected: a pruned one counts as the share that it trains."""
    epochs: int
    """Of each training."""
    images: int
    """Learnt from in an epoch."""
    judged: int = 0
    """Validation images after each epoch."""
    at_once: int = 1
    """How many trainings run at the same time."""

    @property
    def passes(self) -> float:
        """Passes from the stage's begin to its end.

        6 trainings of 4 epochs on 2,500 images that are judged by 500, 2 at once: 6 / 2 * 4 * (2,500 + 0.3 *
        500) = 31,800.
        """
        each = self.epochs * (self.images + VALIDATION_COST * self.judged)
        # Of 3 trainings, 2 at once, the last one runs alone: no fewer than their own number are at once.
        return self.trainings / max(1.0, min(self.at_once, self.trainings)) * each
