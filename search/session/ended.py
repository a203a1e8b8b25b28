"""The record of a training that ended: what was asked for, what came of it, what the network is."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from records.trial import TrialRecord
from search.execute.job import Job, Outcome
from search.propose.gate import Admission


def trial_record(
    job: Job, outcome: Outcome, known: Admission, values: Mapping[str, int | float | str], **origin: Any
) -> TrialRecord:
    """Return the record of a trial.

    Args:
        job: What was asked for.
        outcome: What came of it.
        known: What rfcalc found about the network.
        values: What the sampler proposed.
        origin: Where the network came from: `preset`, `parent`, `moves`, `generation`, `arm`.
    """
    return TrialRecord(
        number=job.number,
        spec=job.spec,
        values=dict(values),
        params=known.params,
        macs=known.macs,
        receptive_field=known.receptive_field,
        margins=known.margins,
        growth=known.growth,
        **_came_of(job, outcome),
        **origin,
    )


def trained_again(record: TrialRecord, job: Job, outcome: Outcome) -> TrialRecord:
    """Return the record of a further training of a trial's network."""
    return replace(record, **_came_of(job, outcome))


def _came_of(job: Job, outcome: Outcome) -> dict[str, Any]:
    return {
        "attempt": outcome.attempt,
        "state": outcome.state,
        "recipe": job.recipe,
        "seed": job.seed,
        "score": outcome.score,
        "seconds": outcome.seconds,
        "epochs": outcome.epochs,
        "reason": outcome.reason,
    }
