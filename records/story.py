"""What a search found about itself, in lines: the way to the winner, its arms, how well its signals rank."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from records.outcome import FLATTERING
from records.search import SearchRecord
from records.text import percent
from records.trial import TrialRecord, ranked


def details(record: SearchRecord, trials: Sequence[TrialRecord], with_lineage: bool = True) -> Iterator[str]:
    """Yield the lines below the tables; a page, which has the lineage as a table, leaves that line out."""
    if ranked(trials):
        yield f"trials are shown by validation loss; {FLATTERING}"
    if record.lineage and with_lineage:
        yield f"lineage: {way(record)}"
    for point in record.front:
        values = point.values or {"accuracy": point.score, "params": point.params, "macs": point.macs}
        shown = ", ".join(f"{name} {objective(name, value)}" for name, value in values.items())
        yield f"front: trial {point.number}, {shown}"
    if (line := arms(trials)) is not None:
        yield line
    for name, tau in record.taus.items():
        yield f"Kendall's tau of {name}: {tau:.2f}"


def objective(name: str, value: float) -> str:
    """Return what was reached of an objective: "98,123 bytes" of flash, "81.20 %" of accuracy."""
    match name:
        case "accuracy":
            return percent(value, 2)
        case "loss":
            return f"{value:.4f}"
    return f"{value:,.0f}" + (" bytes" if name == "flash" else "")


def way(record: SearchRecord) -> str:
    """Return the way from a preset to the winner, each move with its gain in validation loss."""
    parts = []
    for step in record.lineage:
        gain = "" if step.gain is None else f" ({step.gain:+.4f} ± {step.error or 0.0:.4f})"
        parts.append(f"{step.title}{gain}")
    return " -> ".join(parts)


def arms(trials: Sequence[TrialRecord]) -> str | None:
    """Return how the children that predictions chose compare with random ones; None where there were none.

    Only generations that have both count, and the losses at the epoch that all of a generation reached.
    """
    losses: dict[str, list[float]] = {"chosen": [], "random": []}
    both = {each.generation for each in trials if each.arm == "chosen"}
    for generation in both:
        members = [
            each
            for each in trials
            if each.generation == generation and each.epochs and each.state != "failed"
        ]
        epoch = min((len(each.epochs) for each in members), default=0)
        for each in members:
            if epoch and each.arm in losses:
                losses[each.arm].append(each.epochs[epoch - 1].val_loss or 0.0)
    if not losses["chosen"] or not losses["random"]:
        return None
    means = {name: fmean(found) for name, found in losses.items()}
    return (
        f"chosen by prediction: loss {means['chosen']:.4f} (n = {len(losses['chosen'])}), random children of "
        f"the same generations: {means['random']:.4f} (n = {len(losses['random'])}), "
        "at the last epoch that all of them had"
    )
