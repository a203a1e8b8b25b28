"""The Optuna study behind a search; one driver owns it."""

import warnings
from collections.abc import Collection, Sequence

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from records.trial import TrialRecord
from search.keep.storage import failures, reach
from search.propose.objectives import directions, reached
from search.pruning import pruner
from search.settings import Settings

optuna.logging.set_verbosity(optuna.logging.WARNING)

NAMES = "objectives"
"""The study's user attribute that holds the names of what it maximises or minimises."""


def open_study(
    name: str, storage: str | RDBStorage, sampler: optuna.samplers.BaseSampler, settings: Settings
) -> optuna.Study:
    """Open or create the study in the database, which a URL names or which is open already.

    Raises:
        SearchError: The storage cannot be reached.
    """
    backend = reach(storage) if isinstance(storage, str) else storage
    with failures(backend.url, "--storage: the study cannot be opened"):
        study = optuna.create_study(
            study_name=name,
            storage=backend,
            sampler=sampler,
            pruner=pruner(settings.pruner, settings.epochs),
            directions=directions(settings.objectives),
            load_if_exists=True,
        )
        if NAMES not in study.user_attrs:
            study.set_user_attr(NAMES, list(settings.objectives))
        return study


def settle(study: optuna.Study, records: Sequence[TrialRecord], dimensions: Collection[str]) -> int:
    """Bring the study in line with the records after a break; return how many trials are run again.

    A record is written before the study learns of it. So a trial that the study still holds as running
    either has its record and is ended now, or died with the driver: it is closed, and its proposal, if all of
    its `dimensions` were drawn already, is enqueued once, not for ever: it may be what killed the driver.
    """
    ended = {record.number: record for record in records}
    again = 0
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.number in ended:
            tell(study, ended[trial.number])
            continue
        study.tell(trial.number, state=TrialState.FAIL)
        if set(trial.params) == set(dimensions) and "retry_of" not in trial.user_attrs:
            study.enqueue_trial(trial.params, user_attrs={"retry_of": trial.number})
            again += 1
    return again


def tell(study: optuna.Study, record: TrialRecord) -> None:
    """Tell the study how a trial ended; once more does no harm."""
    if record.state == "complete":
        values = reached(record, study.user_attrs.get(NAMES, ["accuracy"]))
        study.tell(record.number, values, skip_if_finished=True)
    else:
        state = TrialState.PRUNED if record.state == "pruned" else TrialState.FAIL
        study.tell(record.number, state=state, skip_if_finished=True)


def importances(study: optuna.Study) -> dict[str, float]:
    """Return the share of each dimension in the spread of loss or accuracy (PED-ANOVA), largest first.

    Empty where Optuna cannot say: too few complete trials, or all alike.
    """
    names = study.user_attrs.get(NAMES, ["accuracy"])
    place = next(place for place, name in enumerate(names) if name in ("loss", "accuracy"))

    def reached_by(trial: FrozenTrial) -> float:
        return float(trial.values[place])

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few trials it warns that they are few
            return dict(optuna.importance.get_param_importances(study, target=reached_by))
    except (ValueError, RuntimeError, ZeroDivisionError):
        return {}
