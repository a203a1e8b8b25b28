"""The study of a search by moves: an ordinary Optuna study, so that dashboards read it.

Its trials are entered generation by generation, in the order of their numbers; their dimensions are widths
and depths, and what the moves were is in their user attributes.
"""

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.trial import TrialState

from models.layers import STAGES
from models.limits import MAX_LAYERS, MAX_WIDTH
from models.spec import NetSpec
from records.generation import GenerationRecord
from records.trial import TrialRecord
from search.keep import study as studies

PARTS = ("stem", *STAGES)
DISTRIBUTIONS: dict[str, BaseDistribution] = {
    **{f"{part}_width": IntDistribution(0, MAX_WIDTH) for part in PARTS},
    **{f"{part}_depth": IntDistribution(0, MAX_LAYERS) for part in PARTS},
}
"""What the study holds of a network; an absent stem has depth and width 0."""


def values(spec: NetSpec) -> dict[str, int | float | str]:
    """Return a network's widths and depths, by the names of `DISTRIBUTIONS`."""
    layers = {name: stage.layers for name, stage in spec.parts()}
    return {
        **{f"{part}_width": layers[part][-1].width if layers[part] else 0 for part in PARTS},
        **{f"{part}_depth": len(layers[part]) for part in PARTS},
    }


def enter(study: optuna.Study, generation: GenerationRecord) -> None:
    """Begin the trials of a generation, each with its own number; those that are there stay as they are."""
    for member in generation.members:
        known = study.get_trials(deepcopy=False)
        if len(known) <= member.number:
            attributes = {
                "generation": generation.number,
                "arm": member.arm,
                "preset": member.preset,
                "parent": member.parent,
                "moves": "; ".join(member.moves),
                "predicted loss": member.predicted,
            }
            study.enqueue_trial(values(NetSpec.from_json(member.spec)), user_attrs=attributes)
            known = study.get_trials(deepcopy=False)
        if known[member.number].state == TrialState.WAITING:
            study.ask(DISTRIBUTIONS)  # trials that wait are begun in their order


def tell(study: optuna.Study, record: TrialRecord) -> None:
    """Tell the study how a trial ended; once more does no harm."""
    studies.tell(study, record)
