"""`python -m search replay`: train one trial again and say whether it comes out the same."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from records.run import EpochRecord
from records.search import SearchRecord
from records.text import percent, plural
from records.trial import TrialRecord
from search.errors import SearchError
from search.execute import worker
from search.execute.executors import cluster
from search.execute.job import DataRequest, Job
from search.execute.worker import Share
from search.keep.folder import RunFolder, find
from search.options import ReplayOptions
from search.settings import Settings
from training.data.registry import load
from training.fit import device


def replay(options: ReplayOptions, console: Console) -> int:
    """Train it again; return 0 where every epoch is the same to the last digit, 1 where one is not.

    Nothing is written: the search's folder stays as it is.

    Raises:
        SearchError: There is no such trial, it failed, or its images have changed.
        TrainingError: Its device or data set cannot be used here.
    """
    folder = find(options.name, options.out)
    record = SearchRecord.read(folder.search_json)
    settings = Settings.from_json(record.settings, "search.json, settings")
    trial = _trial(folder, options.trial, "finalists" if options.finalist else "trials")
    device.resolve(settings.device)
    dataset = load(settings.data, cache=Path(settings.cache), resize=settings.resize, console=console)
    if dataset.fingerprint != record.dataset.fingerprint:
        raise SearchError(f"{folder.path}: the images of {settings.data} are no longer those of the search")
    job = Job(
        number=trial.number,
        attempt=trial.attempt,
        spec=trial.spec,
        recipe=trial.recipe,
        seed=trial.seed,
        data=DataRequest(
            settings.data,
            settings.cache,
            settings.resize,
            settings.final_subset if options.finalist else settings.subset,
            settings.seed,
        ),
        threads=settings.threads,
    )
    # The same threads as then: sums of floats depend on how they are split.
    jobs = 1 if cluster(settings.executor) else settings.jobs  # on a cluster no job shares this machine
    Share(settings.device, jobs).take()

    def on_epoch(epoch: EpochRecord) -> bool:
        console.print(f"  epoch {epoch.epoch}: {percent(epoch.val_accuracy)} on validation", highlight=False)
        return epoch.epoch < len(trial.epochs)  # a pruned trial ended before its recipe did

    console.print(
        f"training trial {trial.number} again, {plural(len(trial.epochs), 'epoch')}", highlight=False
    )
    outcome = worker.run(job, settings.device, on_epoch)
    if outcome.state == "failed":
        raise SearchError(f"trial {trial.number}: failed this time: {outcome.reason}")
    return _compare(trial, outcome.epochs, record, console)


def _trial(folder: RunFolder, number: int, stage: str) -> TrialRecord:
    found = [each for each in folder.trials(stage) if each.number == number]
    if not found:
        numbers = [each.number for each in folder.trials(stage)]
        there = f"0 to {max(numbers)}" if stage == "trials" and numbers else ", ".join(map(str, numbers))
        raise SearchError(f"{folder.path / stage}: holds no trial {number}; there are {there or 'none'}")
    ended = [each for each in found if each.state != "failed"]
    if not ended:
        raise SearchError(f"trial {number}: it failed ({found[-1].reason}), there is nothing to compare with")
    return ended[-1]


def _compare(
    trial: TrialRecord, again: tuple[EpochRecord, ...], record: SearchRecord, console: Console
) -> int:
    table = Table(title=f"Trial {trial.number}", title_justify="left")
    for name in ("epoch", "loss then", "loss now", "validation then", "validation now"):
        table.add_column(name, justify="right")
    for then, now in zip(trial.epochs, again, strict=True):
        table.add_row(
            str(then.epoch),
            f"{then.train_loss:.6f}",
            f"{now.train_loss:.6f}",
            percent(then.val_accuracy),
            percent(now.val_accuracy),
        )
    console.print(table)
    same = all(
        (then.train_loss, then.val_loss, then.val_accuracy)
        == (now.train_loss, now.val_loss, now.val_accuracy)
        for then, now in zip(trial.epochs, again, strict=True)
    )
    score = again[-1].val_accuracy if again else None
    if same:
        console.print(
            f"the same: {percent(score)} on validation, every epoch to the last digit", style="bold"
        )
        return 0
    console.print(
        f"not the same: {percent(trial.score)} then, {percent(score)} now. It ran on "
        f"{record.environment.hardware} with torch {record.environment.versions.get('torch', '?')}; another "
        "processor, another release or a GPU may round otherwise",
        style="bold yellow",
        markup=False,
    )
    return 1
