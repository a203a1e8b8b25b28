"""The last stage: the winner, trained on train and validation, meets the test images once."""

from models.spec import NetSpec
from search.display import Display
from search.prepare import Plan


def train_winner(plan: Plan, spec: NetSpec, display: Display) -> None:
    """Train the winner with the recipe fixed and write best/; nothing is selected any more.

    A session that broke off here goes on at the last whole epoch.

    Raises:
        TrainingError: The training failed; the text says what to try.
    """
    settings, dataset = plan.settings, plan.dataset
    recipe = settings.winner_recipe
