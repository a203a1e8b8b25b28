"""`python -m search`: find, train and explain the best network that fits the budget."""

import shlex
import sys
from typing import TYPE_CHECKING

from records.program import run
from records.text import percent, plural
from search.options import Options, parse
from training.fit.process import prepare as prepare_process

if TYPE_CHECKING:
    from rich.console import Console

    from records.run import RunRecord
    from records.search import SearchRecord
    from search.session.plan import SearchPlan


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 1 a replay differs, 2 it cannot be done, 130 stopped."""
    parsed = parse(sys.argv[1:] if arguments is None else arguments)
    prepare_process()
    # Some seconds of imports: only now, when the flags are known to be sound.
    from models.errors import SpecError
    from records.terminal import make_console
    from rfcalc import RfcalcError

    console = make_console()

    def action() -> int:
        if parsed.command == "show":
            from search.show.command import show

            return show(parsed.options, console)
        if parsed.command == "replay":
            from search.session.replay import replay

            return replay(parsed.options, console)
        return _search(parsed.options, console)

    return run("search", action, known=(SpecError, RfcalcError), debug=parsed.options.debug)


def _search(options: Options, console: "Console") -> int:
    from records.stopping import Stopped
    from search.session.plan import plan_search
    from search.session.session import run as run_search
    from search.show.display import Display

    plan = plan_search(options, console)
    try:
        plan = _announce(plan, options, console)
        with Display(console) as display:
            record = run_search(plan, display)
    except Stopped:
        from records.next_steps import resumed

        command = shlex.join(resumed(plan.folder.path))
        console.print(f"stopped; what is finished is kept. Continue with: {command}", markup=False)
        raise
    finally:
        plan.close()
    _conclude(plan, record, console)
    return 0


def _announce(plan: "SearchPlan", options: Options, console: "Console") -> "SearchPlan":
    """Say what will be done, on what, for how long; return the plan with a time limit that suffices."""
    from rich.markup import escape

    from records.text import duration
    from search.propose.around import AROUND
    from search.propose.screening import summary
    from search.session.forecast import with_forecast
    from search.session.session import costs
    from search.session.trials import count_ended

    settings, dataset = plan.settings, plan.dataset
    if dataset.notice:
        console.print(escape(dataset.notice), style="bold yellow")
    height, width = dataset.image_size
    finished = count_ended(plan.folder.trials())
    plan, expected = with_forecast(plan, costs(plan), given=options.time_limit is not None)
    if plan.settings.time_limit != settings.time_limit:
        console.print(
            f"{duration(settings.time_limit or 0)}, the usual --time-limit, do not suffice at "
            f"{expected.images_per_second:,.0f} images/s: it is {duration(plan.settings.time_limit or 0)}.",
            style="bold yellow",
        )
        settings = plan.settings
    console.print(
        f"data      {escape(dataset.title)}, {len(dataset.classes)} classes of {height}x{width} pixels"
    )
    what = {
        "full": "the whole grammar",
        "widths": f"widths of {escape(settings.base)!r}",
        AROUND: f"moves from {escape(', '.join(settings.presets)) or 'the nearest network that fits'}",
    }[settings.space]
    how = f"generations of {settings.generation}" if settings.space == AROUND else f"pruner {settings.pruner}"
    console.print(
        f"space     {what}, sampler {settings.sampler}, {how}, for "
        f"{' and '.join(settings.objectives)}; recipe {settings.recipe}, on {settings.device}"
    )
    if plan.screening:
        console.print(f"screened  {summary(plan.screening)}")
    console.print(
        f"folder    {escape(str(plan.folder.path))}"
        + (f" (resumed, {finished} trials are there)" if finished else "")
    )
    console.print(
        f"expects   about {duration(expected.seconds)} for the search, then "
        f"{duration(expected.winner_seconds)} for the winner's own training, at "
        f"{expected.images_per_second:,.0f} images/s each\n"
        f"          {expected.folder_bytes / 1e6:.0f} MB of disk, {expected.cache_bytes / 1e6:.0f} MB for "
        f"the decoded images in {escape(settings.cache)}"
    )
    return plan


def _conclude(plan: "SearchPlan", record: "SearchRecord", console: "Console") -> None:
    """Show the outcome and write the report."""
    from records.outcome import outcome, winner_title
    from records.run import RunRecord
    from records.story import details
    from reports.pages.page import write_search_report
    from search.show.display import finalists_table, presets_table, trials_table
    from search.show.standing import counts_line

    trials = plan.folder.trials()
    trained = (plan.folder.best / "run.json").is_file()
    winner = RunRecord.read(plan.folder.best / "run.json") if trained else None
    if winner is not None:
        _draw(plan, winner)
    report = write_search_report(plan.folder.path)
    if (words := outcome(record)) is not None:
        console.print(words, style="bold", markup=False)
    console.print(trials_table(trials))
    console.print(finalists_table(record.finalists, record.winner))
    if record.presets:
        console.print(presets_table(record.presets))
    console.print(counts_line(record.trials, record.rejections))
    for line in details(record, trials):
        console.print(line, markup=False)
    if winner is None:
        console.print(f"wrote {plan.folder.path / 'model.py'} and {report}", markup=False)
        _show_next(plan, console, trained=False)
        return
    console.print(
        f"winner: {winner_title(record)}, {winner.params:,} parameters, {winner.macs / 1e6:.1f} M MACs, "
        f"receptive field {min(winner.receptive_field)}"
    )
    console.print(
        f"test accuracy {percent(winner.test_accuracy)} on {winner.dataset.test_images:,} images of "
        f"{winner.dataset.title}, after {plural(len(winner.epochs), 'epoch')} of training; one run",
        style="bold",
        markup=False,
    )
    if winner.dataset.notice:
        console.print(winner.dataset.notice, style="bold yellow", markup=False)
    console.print(f"wrote {plan.folder.best / 'model.py'}, best.safetensors and {report}", markup=False)
    _show_next(plan, console, trained=True)


def _show_next(plan: "SearchPlan", console: "Console", *, trained: bool) -> None:
    from records.next_steps import after_search, shown

    lines = shown(after_search(plan.folder.path, trained))
    console.print(lines, markup=False, highlight=False, soft_wrap=True)


def _draw(plan: "SearchPlan", winner: "RunRecord") -> None:
    """Draw the winner's curves, confusion and mistakes."""
    from records.layout import PREDICTIONS
    from records.predictions import Predictions
    from reports.figures.training import save_confusion, save_curves, save_mistakes

    best, dataset = plan.folder.best, plan.dataset
    save_curves(best / "curves.png", winner.epochs)
    if winner.confusion is not None:
        save_confusion(best / "confusion.png", winner.confusion, dataset.classes)
    found = Predictions.read(best / PREDICTIONS, len(dataset.classes))
    save_mistakes(
        best / "mistakes.png",
        dataset.test.images,
        found.labels,
        found.predictions,
        found.confidence,
        dataset.classes,
    )


if __name__ == "__main__":
    sys.exit(main())
