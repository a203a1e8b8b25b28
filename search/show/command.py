"""`python -m search show`: how a search stands, read from its folder, whether it runs, ended or broke off."""

import argparse
from pathlib import Path

from rich.console import Console

from records.run import RunRecord
from records.search import SearchRecord, against_presets
from search.errors import SearchError
from search.keep import folder as folders
from search.keep.folder import RunFolder
from search.keep.storage import is_held, needs_password
from search.show.display import finalists_table, presets_table, trials_table
from search.show.standing import Curve, percent, stand


def show(options: argparse.Namespace, console: Console) -> int:
    """Print it; return the exit code.

    Raises:
        SearchError: There is no such search.
        RecordError: A record of it cannot be read.
    """
    folder = find(options.name, options.out)
    record = SearchRecord.read(folder.search_json)
    trials = folder.trials()
    driven = is_held(folder.lock)
    state = record.state if driven or record.state != "running" else "broken off, --resume continues it"
    console.print(f"search    {record.name}: {state}, stage {record.stage}", markup=False)
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
    if (words := against_presets(record)) is not None:
        console.print(words)
    if (folder.best / "run.json").is_file():
        winner = RunRecord.read(folder.best / "run.json")
        console.print(
            f"winner    trial {record.winner}, test accuracy {percent(winner.test_accuracy)} on "
            f"{winner.dataset.test_images:,} images of {winner.dataset.title}",
            markup=False,
        )
    return 0


def find(name: str | None, out: Path) -> RunFolder:
    """Return the folder of a search, the newest one where no name is given.

    Raises:
        SearchError: There is none.
    """
    found = folders.newest(out) if name is None else RunFolder(out / name)
    if found is None:
        raise SearchError(f"{out}: holds no search; name its folder by --out")
    if not found.search_json.is_file():
        known = ", ".join(sorted(path.parent.name for path in out.glob("*/search.json"))) or "none"
        raise SearchError(f"{found.path}: is no search; known in {out}: {known}")
    return found


def _running(folder: RunFolder, record: SearchRecord) -> list[Curve]:
    """Return the curves of the trials that are being trained, from the study, which any process may read."""
    import optuna
    from optuna.trial import TrialState

    from search.keep.storage import reach, release

    url = record.settings.get("storage") or folder.storage()
    if needs_password(url):
        return []  # search.json does not keep passwords
    backend = reach(url)
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
