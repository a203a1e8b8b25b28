"""What the workers of the tests do instead of training: it takes no time, whatever else the machine does."""

from records.run import EpochRecord
from search.execute.job import Job, Outcome
from search.execute.worker import Report


def played(job: Job, device: str, report: Report) -> Outcome:
    """Report the epochs of the job's recipe at once."""
    epochs: list[EpochRecord] = []
    state = "complete"
    for number in range(1, int(job.recipe["epochs"]) + 1):
        epochs.append(EpochRecord(number, 1.0, 0.5, 1.0, number / 10, 0.1, 0.0))
        if not report(epochs[-1]):
            state = "pruned"
            break
    return Outcome(job.number, job.attempt, state, 0.0, tuple(epochs))
