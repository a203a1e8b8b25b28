"""Is a trial long enough? The mode `--tau` of `benchmarks.search_beats_presets`.

Presets and children of a search, picked by their numbers and not by how they fared, are trained at a trial's
length and at full length, with seeds that no search has; Kendall's tau of the validation losses says whether
the order holds. The same searches say whether the ranker's expectations did: expected with measured loss,
among the children of one generation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.rank_agreement import interval
from records.generation import GenerationRecord
from records.text import percent
from records.trial import TrialRecord
from search.propose.ranker import kendall_tau
from search.session.breeding import TRUSTED

WANTED_LENGTH = 0.5
"""Of tau: below the first a trial is to be longer, below the second the ranker is left out."""
ENOUGH = 24
"""Children without which tau of the ranker says little."""
Train = Callable[[TrialRecord, int, int], TrialRecord]
"""Network, epochs, images: its fresh training."""


@dataclass(frozen=True)
class Length:
    """How long a network is trained."""

    epochs: int
    images: int

    @classmethod
    def read(cls, text: str) -> Length:
        """Read "6x15000"; ValueError for anything else."""
        epochs, _, images = text.partition("x")
        if not (epochs.isdigit() and images.isdigit() and int(epochs) and int(images)):
            raise ValueError(text)
        return cls(int(epochs), int(images))

    def __str__(self) -> str:
        return f"{self.epochs} x {self.images:,}"


def picked(records: Iterable[TrialRecord], children: int) -> list[TrialRecord]:
    """Return all presets and so many children that did not fail, evenly over the order of their numbers."""
    ended = sorted((each for each in records if each.state != "failed"), key=lambda each: each.number)
    presets = [each for each in ended if each.preset is not None]
    others = [each for each in ended if each.preset is None]
    if len(others) > children:
        last = len(others) - 1
        others = [others[round(place * last / max(1, children - 1))] for place in range(children)]
    return presets + others


def pairs(
    generations: Iterable[GenerationRecord], losses: dict[int, float]
) -> list[tuple[list[float], list[float]]]:
    """Return the expected and the measured losses of each generation that had expectations.

    Args:
        generations: Of a search.
        losses: Measured, by the number of the trial.
    """
    found = []
    for generation in generations:
        known = [
            (member.predicted, losses[member.number])
            for member in generation.members
            if member.predicted is not None and member.number in losses
        ]
        if len(known) > 1:
            found.append(([first for first, _ in known], [second for _, second in known]))
    return found


def tau_within(groups: Sequence[tuple[list[float], list[float]]]) -> float | None:
    """Return tau over the pairs of networks that are in the same group: each ranker is judged by its own."""
    total = weight = 0.0
    for first, second in groups:
        if (tau := kendall_tau(first, second)) is not None:
            count = len(first) * (len(first) - 1) / 2
            total, weight = total + count * tau, weight + count
    return total / weight if weight else None


def show_lengths(
    records: Sequence[TrialRecord], train: Train, short: Length, long: Length, console: Console
) -> None:
    """Train `records` at both lengths, and print their losses and tau."""
    briefly = [train(each, short.epochs, short.images) for each in records]
    fully = [train(each, long.epochs, long.images) for each in records]
    table = Table(title="Validation loss and accuracy by length", title_justify="left")
    for name in ("network", f"loss, {short}", f"loss, {long}", str(short), str(long)):
        table.add_column(name)
    for each, one, other in zip(records, briefly, fully, strict=True):
        figures = (f"{one.loss or 0:.4f}", f"{other.loss or 0:.4f}", percent(one.score), percent(other.score))
        table.add_row(each.title, *figures)
    console.print(table)
    kinds = {"all": list(records), "children": [each for each in records if each.preset is None]}
    for name, members in kinds.items():
        places = [place for place, each in enumerate(records) if each in members]
        losses = [[run[place].loss or 0.0 for place in places] for run in (briefly, fully)]
        tau = kendall_tau(*losses) if len(places) > 1 else None
        if tau is None:
            console.print(f"{name}: n = {len(places)}, no tau")
            continue
        low, high = interval(*losses) or (tau, tau)
        holds = "holds" if tau >= WANTED_LENGTH else "fails"
        verdict = f"; wanted is {WANTED_LENGTH}, it {holds}" if name == "all" else ""
        console.print(
            f"{name}: tau of loss {tau:.2f} ({low:.2f} to {high:.2f}), n = {len(places)}, one seed{verdict}",
            highlight=False,
        )


def show_ranker(groups: Sequence[tuple[list[float], list[float]]], console: Console) -> None:
    """Print tau of what the ranker expected of children that it had not seen."""
    count, tau = sum(len(first) for first, _ in groups), tau_within(groups)
    if tau is None:
        console.print("ranker: no generation had expectations; a longer --limit or more --trials has more")
        return
    few = f", fewer than {ENOUGH}: it says little" if count < ENOUGH else ""
    verdict = "holds" if tau >= TRUSTED else "fails"
    console.print(
        f"ranker: tau of expected with measured loss {tau:.2f}, n = {count} children of {len(groups)} "
        f"generations{few}; wanted is {TRUSTED}, it {verdict}",
        highlight=False,
    )
