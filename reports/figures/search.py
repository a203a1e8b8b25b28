"""Figures of a search for papers and READMEs, from its records: PNG, SVG or PDF by the path's suffix."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.ticker import EngFormatter, MaxNLocator

from records.trial import TrialRecord
from reports.figures.training import BLUE, INK, ORANGE, VERMILION, figure, of_training, save_each, say
from reports.runs import SearchRun
from reports.tables import fronts


def save_all(run: SearchRun, folder: Path) -> list[Path]:
    """Write every figure of a search into `folder`, as PNG and as SVG.

    Raises:
        ReportError: The folder cannot be written.
    """
    data = run.record.dataset.title
    writers: dict[str, Callable[[Path], None]] = {
        "accuracy-params": lambda path: save_accuracy(path, run.scored, "params", run.record.winner, data),
        "accuracy-macs": lambda path: save_accuracy(path, run.scored, "macs", run.record.winner, data),
        "learning-curves": lambda path: save_learning_curves(path, run.scored, run.record.winner, data),
        "importances": lambda path: save_importances(path, run.record.importances),
    }
    if run.best is not None:
        writers |= of_training(run.best.record, "winner-")
    return save_each(writers, folder)


def save_accuracy(
    path: Path, trials: Sequence[TrialRecord], cost: str, winner: int | None, data: str = ""
) -> None:
    """Draw validation accuracy against a cost, with the Pareto front.

    Args:
        path: Where to; written whole.
        trials: Those without a score are left out.
        cost: "params" or "macs".
        winner: Number of the trial that won, if one did.
        data: Name of the data set, for the title.
    """
    title = {"params": "parameters", "macs": "multiply-accumulates per image"}[cost]
    with figure(path, (5.4, 3.8)) as drawn:
        axes = drawn.subplots()
        scored = [trial for trial in trials if trial.score is not None]
        if not scored:
            say(axes, "no trial has an accuracy")
            return
        for state, marker in (("complete", "o"), ("pruned", "x")):
            chosen = [trial for trial in scored if trial.state == state]
            values = [100 * (trial.score or 0.0) for trial in chosen]
            label = f"{state} ({len(chosen)})"
            axes.scatter(
                [getattr(t, cost) for t in chosen], values, s=22, marker=marker, color=BLUE, label=label
            )
        level = fronts.level(scored, fronts.COSTS[cost])
        front = [] if level else fronts.pareto(scored, fronts.COSTS[cost])
        steps = [100 * (trial.score or 0.0) for trial in front]
        places = [getattr(trial, cost) for trial in front]
        if front:
            axes.step(places, steps, where="post", color=ORANGE, linewidth=1.4, label="Pareto front")
        for trial in scored:
            if trial.number == winner:
                place, value = getattr(trial, cost), 100 * (trial.score or 0.0)
                axes.scatter([place], [value], s=64, marker="D", color=VERMILION, label="winner", zorder=3)
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.set(xlabel=title, ylabel="validation accuracy (%)", title=_titled(data, "one run a trial"))
        # Below the axes: within them it would lie on trials, wherever they crowd.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4)


def save_learning_curves(
    path: Path, trials: Sequence[TrialRecord], winner: int | None, data: str = ""
) -> None:
    """Draw the validation accuracy of every trial, epoch by epoch; the winner's stands out."""
    with figure(path, (5.4, 3.8)) as drawn:
        axes = drawn.subplots()
        lines = 0
        for trial in sorted(trials, key=lambda trial: trial.number == winner):
            points = [(e.epoch, 100 * e.val_accuracy) for e in trial.epochs if e.val_accuracy is not None]
            if not points:
                continue
            lines += 1
            best = trial.number == winner
            (line,) = axes.plot(*zip(*points, strict=True), color=VERMILION if best else BLUE)
            line.set(linewidth=2.2 if best else 1, alpha=1 if best else 0.35, markersize=3)
            line.set_marker("o" if len(points) == 1 else "")
            if best:
                line.set_label(f"winner, trial {trial.number}")
        if not lines:
            say(axes, "no epoch was finished")
            return
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel="validation accuracy (%)", title=_titled(data, f"{lines} trials"))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower right")


def save_importances(path: Path, importances: Mapping[str, float]) -> None:
    """Draw how much of the accuracy's spread each dimension explains."""
    ranked = sorted(importances.items(), key=lambda pair: (pair[1], pair[0]))
    with figure(path, (5.4, 0.9 + 0.32 * max(1, len(ranked)))) as drawn:
        axes = drawn.subplots()
        if not ranked:
            say(axes, "not known: too few trials were completed")
            return
        bars = axes.barh([name for name, _ in ranked], [share for _, share in ranked], color=BLUE)
        axes.bar_label(bars, fmt="%.3f", padding=4, color=INK)
        axes.grid(False, axis="y")
        axes.margins(x=0.12)
        axes.set(xlabel="importance (share of the accuracy's spread)")


def _titled(data: str, words: str) -> str:
    return ": ".join(filter(None, (data, words)))
