"""How the winner came about: from a preset to it, move by move, each with what it gained."""

from collections.abc import Sequence
from itertools import pairwise

from records.search import Step
from records.trial import TrialRecord
from search.keep.folder import RunFolder
from search.session.paired import Noise, difference, paired


def lineage(winner: TrialRecord, trials: Sequence[TrialRecord], folder: RunFolder) -> tuple[Step, ...]:
    """Return the networks from a preset to the winner; empty where it was not found by moves.

    A gain is that of one trial against another one, so it owes a part to chance: its error says how much.

    Args:
        winner: Its trial.
        trials: All trials.
        folder: Of the search, which has the losses of each image.
    """
    if winner.parent is None:
        return ()
    known = {record.number: record for record in trials if record.state != "failed"}
    way = [winner]
    while (parent := way[-1].parent) is not None and parent in known:
        way.append(known[parent])
    way.reverse()
    steps = [Step(way[0].number, way[0].title)]
    for before, after in pairwise(way):
        images = paired([folder.losses(after)], [folder.losses(before)])
        gap = difference([after.loss or 0.0], [before.loss or 0.0], Noise(), images)
        steps.append(Step(after.number, "; ".join(after.moves), gap.loss, gap.error))
    return tuple(steps)
