"""The study of a search, open and held for one driver."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import optuna

from records.trial import TrialRecord
from search.keep import storage, study, study_lock
from search.keep.retry import DatabaseRetry
from search.session.identity import check_identity, identity
from search.session.stage import Context


@dataclass(frozen=True)
class OpenStudy:
    """The study and how it is reached.

    Attributes:
        study: Of this search; nobody else drives it.
        retry: Asks the database, and waits for it where it is away.
        look: Called now and then; raises where the hold on the study is lost.
    """

    study: optuna.Study
    retry: DatabaseRetry
    look: Callable[[], None]


@contextmanager
def opened(
    context: Context, sampler: optuna.samplers.BaseSampler, records: Sequence[TrialRecord]
) -> Iterator[OpenStudy]:
    """Open the study of a search, or create it.

    Raises:
        SearchError: The database cannot be reached or fails, another driver holds the study, or it is another
            search's.
    """
    plan, settings = context.plan, context.plan.settings
    url, name = settings.storage or plan.folder.storage(), plan.folder.path.name
    with ExitStack() as stack:
        stack.enter_context(
            storage.failures(url, "the study's database failed; once it is well, --resume continues")
        )
        retry = DatabaseRetry(url, settings.storage_wait, context.display.notice, check=context.stop.check)
        backend = retry(lambda: storage.reach(url))
        stack.callback(storage.release, backend)
        found = retry(lambda: study.open_study(name, backend, sampler, settings))
        hold = stack.enter_context(study_lock.held(url, name))
        retry.regain = hold.regain
        retry(lambda: storage.claim_for_folder(found, plan.folder.path, bool(records)))
        retry(lambda: check_identity(found, identity(plan, plan.space)))
        yield OpenStudy(found, retry, hold.look)
