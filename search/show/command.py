"""`python -m search show`: the state of a search from its folder, whether it runs, ended or broke off."""

from rich.console import Console

from records.layout import WEIGHTS
from records.lock import is_locked
from records.next_steps import after_standing, shown
from records.outcome import outcome, winner_title
from records.run import RunRecord
from records.search import SearchRecord
from records.story import details
from records.text import percent
from search.keep.folder import RunFolder, find
from search.keep.storage import needs_password
from search.options import ShowOptions
from search.show.display import finalists_table, presets_table, trials_table
from search.show.standing import Curve, stand


def show(options: ShowOptions, console: Console) -> int:
    """Print it; return the exit code.

    Raises:
        SearchError: There is no such search.
        RecordError: A record of it cannot be read.
    """
    folder = find(options.name, options.out)
    record = SearchRecord.read(folder.search_json)
    trials = folder.trials()
    driven = is_locked(folder.lock)
    state = record.state if driven or record.state != "running" else "broken off, --resume continues it"
    console.print(f"search    {record.name}: {state}, stage {record.stage}", markup=False)
    if (words := outcome(record)) is not None:
        console.print(words, style="bold", markup=False)
    if record.reason:
        console.print(f"because   {record.reason}", markup=False)
    console.print(f"data      {record.dataset.title}", markup=False)
    console.print(f"trials    {sum(trial.state != 'failed' for trial in trials)} of {record.wanted}")
    console.print(stand(record, trials, _running(folder, record) if driven else ()))
    if any(trial.state == "complete" for trial in trials):
        console.print(trials_table(trials))
    for trial in trials:
        if trial.state == "failed":
            console.print(f"trial {trial.number} failed: {trial.reason}", style="yellow", markup=False)
    if record.finalists:
        console.print(finalists_table(record.finalists, record.winner))
    if record.presets:
        console.print(presets_table(record.presets))
    for line in details(record, trials):
        console.print(line, markup=False)
    if record.winner is not None and (folder.best / "run.json").is_file():
        winner = RunRecord.read(folder.best / "run.json")
        console.print(
            f"winner    {winner_title(record)}, test accuracy {percent(winner.test_accuracy)} on "
            f"{winner.dataset.test_images:,} images of {winner.dataset.title}",
            markup=False,
        )
    steps = after_standing(
        folder.path,
        goes_on=driven,
        ended=record.state not in ("running", "stopped"),
        trained=(folder.best / WEIGHTS).is_file(),
    )
    console.print(shown(steps), markup=False, highlight=False, soft_wrap=True)
    return 0


def _running(folder: RunFolder, record: SearchRecord) -> list[Curve]:
    """Return the curves of the trials that are being trained, from the study, which any process may read."""
    import optuna
    from optuna.trial import TrialState

    from search.keep.storage import failures, reach, release

    url = record.settings.get("storage") or folder.storage()
    if needs_password(url):
        return []  # search.json does not keep passwords
    backend = reach(url)
    with failures(url, "--storage: the study cannot be read"):
        study = optuna.load_study(study_name=record.name, storage=backend)
        trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    release(backend)
    return [
        Curve(
            f"trial {trial.number}",
            tuple(value for _, value in sorted(trial.intermediate_values.items())),
            record.settings.get("epochs"),
        )
        for trial in trials
    ]
