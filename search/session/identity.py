"""What makes two searches the same study: continuing another one would mix what cannot be compared."""

import hashlib
import json

import optuna

from search.errors import SearchError
from search.propose.space import Space, fingerprint
from search.session.plan import SearchPlan

KEY = "identity"
"""The study's user attribute that holds it."""


def identity(plan: SearchPlan, space: Space) -> dict[str, str]:
    """Return what defines the study, in words as far as they are short."""
    settings = plan.settings
    choices = json.dumps({name: list(values) for name, values in space.choices.items()}, sort_keys=True)
    return {
        "space": f"{settings.space} ({hashlib.sha256(choices.encode()).hexdigest()[:8]})",
        "base network": f"{plan.base.name} ({fingerprint(plan.base)[:8]})",
        "data set": f"{plan.dataset.title} ({plan.dataset.fingerprint[:8]})",
        "objectives": ",".join(settings.objectives),
        "trial": f"{settings.epochs} epochs of {settings.subset or 'all'} images, recipe {settings.recipe}",
    }


def check_identity(study: optuna.Study, wanted: dict[str, str]) -> None:
    """Write `wanted` into a new study, or compare it with what is there.

    Raises:
        SearchError: The study is another one; the text names what differs.
    """
    held = study.user_attrs.get(KEY)
    if held is None:
        study.set_user_attr(KEY, wanted)
        return
    for name, value in wanted.items():
        if held.get(name, value) != value:
            raise SearchError(
                f"the study {study.study_name!r} is another one: its {name} is {held[name]}, not {value}; "
                "choose another --name"
            )
