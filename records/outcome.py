"""What came of a search, in one sentence that is made from the figures of its record."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from records.text import percent, plural

if TYPE_CHECKING:
    from records.search import Finalist, LossDifference, SearchRecord


def winner_title(record: SearchRecord) -> str:
    """Return what the winner is called: the name of a preset, or its trial."""
    titles = (each.title for each in record.finalists if each.number == record.winner)
    return next(titles, f"trial {record.winner}")


def kind_of(name: str | None, record: SearchRecord) -> str:
    """Return what a network that a search started from is: "preset", or "given network" of `--start`."""
    given = record.settings.get("given")
    return "given network" if isinstance(given, dict) and name in given else "preset"


def outcome(record: SearchRecord) -> str | None:
    """Return one sentence that says what came of the search; None before its finalists were trained.

    A network counts as better than the best preset where the 95 % interval of the difference says so.
    Searches of earlier versions have no paired losses: they are compared by accuracy.
    """
    winner = next((each for each in record.finalists if each.number == record.winner), None)
    if winner is None:
        return None
    if record.best_known is None:
        return _by_accuracy(record)
    rival = challenger(record)
    preset = next((each for each in record.finalists if each.preset == record.best_known), None)
    if rival is not None and rival.gap is not None and rival.number == record.winner:
        best = f"{kind_of(record.best_known, record)}, {record.best_known}"
        return (
            f"Better than the best {best}: {rival.title}, by {_measured(rival.gap)} "
            f"({percent(rival.score)} against {percent(preset.score if preset else None)} of validation)."
        )
    sentence = f"No better network found; the best known is {record.best_known}."
    if rival is None or rival.gap is None:
        return sentence
    return f"{sentence} The nearest, {rival.title}, differs by {_measured(rival.gap)}."


def challenger(record: SearchRecord) -> Finalist | None:
    """Return the network of the search that is set against the best preset: the winner, else the nearest one.

    None where no preset took part, or where nothing but presets came as far as the finalists' runs.
    """
    rivals = [each for each in record.finalists if each.preset is None and each.gap is not None]
    won = (each for each in rivals if each.number == record.winner)
    return next(won, min(rivals, key=lambda each: each.gap.loss if each.gap else math.inf, default=None))


def _measured(gap: LossDifference) -> str:
    return (
        f"{gap.loss:+.4f} ± {gap.reach:.4f} in validation loss and {gap.points:+.1f} points, "
        f"{plural(gap.runs, 'fresh seed')} each, 95 % interval"
    )


FLATTERING = "the best of many scores is too good: 1.7 points was measured for the best of 20"
"""The caution beside every score that is the best of many (5 searches, docs/results/search.md)."""


def _by_accuracy(record: SearchRecord) -> str | None:
    """Return one sentence that compares the winner with the best preset; None where there is no such pair.

    Both were trained with the finalists' recipe on the same images and judged on validation. The winner is
    the best of several there, which flatters it a little.
    """
    winner = next((each for each in record.finalists if each.number == record.winner), None)
    if winner is None or not record.presets:
        return None
    best = max(record.presets, key=lambda preset: preset.score)
    ours, theirs = (round(100 * each.score, 1) for each in (winner, best))
    points = round(ours - theirs, 1)  # what a reader gets who subtracts the two
    if points > 0:
        words = f"beats the best preset, {best.name}, by {points} points"
    elif points < 0:
        words = f"does not beat the best preset, {best.name}: it is {-points} points behind"
    else:
        words = f"is level with the best preset, {best.name}"
    runs = max(1, len(best.scores))
    error = (
        100 * (2 * best.score * (1 - best.score) / (max(1, record.dataset.validation_images) * runs)) ** 0.5
    )
    return (
        f"At equal training the winner {words} ({ours:.1f} against {theirs:.1f} % "
        f"of validation; {plural(best.epochs, 'epoch')}, {plural(runs, 'run')} each; standard error of a "
        f"difference {error:.1f})."
    )
