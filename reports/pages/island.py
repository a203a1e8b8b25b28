"""What the charts of a report draw: columns of numbers, as JSON values within the page."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from records.run import RunRecord
from records.trial import TrialRecord
from reports.runs import SearchRun
from reports.tables import fronts, history, specs
from reports.tables import runs as tables
from reports.tables.published import published_for, within_reach

Growth = Sequence[tuple[str, int]]


def training(run: RunRecord, growth: Growth) -> dict[str, Any]:
    """Return what the charts of a training run draw."""
    return {"epochs": epochs(run), "growth": _growth(growth, run)}


def _growth(growth: Growth, run: RunRecord) -> dict[str, Any] | None:
    """The field of each layer, and the image that it grows over."""
    if not growth:
        return None
    names, sizes = zip(*growth, strict=True)
    return {"names": names, "sizes": sizes, "image": min(run.dataset.image_size)}


def search(run: SearchRun, growth: Growth) -> dict[str, Any]:
    """Return what the charts draw: one list a column over the scored trials, best first, then the others."""
    ranked: list[TrialRecord] = [*run.scored, *(trial for trial in run.trials if trial.score is None)]
    states = ["complete", "pruned", "failed"]
    names = tables.proposed(run.trials)
    largest = max((trial.params for trial in run.scored), default=0)
    near = set(within_reach(published_for(run.record.dataset), largest))
    return {
        "winner": run.record.winner,
        "states": states,
        "names": names,
        "number": [trial.number for trial in ranked],
        "state": [states.index(trial.state) for trial in ranked],
        "score": [_digits(trial.score, 7) for trial in ranked],
        "loss": _known([_digits(trial.loss) for trial in ranked]),
        "by": "loss" if history.by_loss(run) else "score",
        "preset": _known([trial.preset for trial in ranked]),
        "parent": _known([trial.parent for trial in ranked]),
        "moves": _known(["; ".join(trial.moves) or None for trial in ranked]),
        "way": [step.number for step in run.record.lineage],
        "networks": _networks(ranked),
        "growths": _growths(ranked),
        "image": min(run.record.dataset.image_size),
        "params": [trial.params for trial in ranked],
        "macs": [trial.macs for trial in ranked],
        "rf": [trial.receptive_field for trial in ranked],
        "seconds": [_digits(trial.seconds) for trial in ranked],
        "values": [_column([trial.values.get(name) for trial in ranked]) for name in names],
        "curves": [[_digits(epoch.val_accuracy, 4) for epoch in trial.epochs] for trial in ranked],
        "fronts": {
            name: [trial.number for trial in fronts.pareto(run.scored, cost)]
            for name, cost in fronts.COSTS.items()
            if not fronts.level(run.scored, cost)
        },
        "published": [
            {**asdict(network), "near": network in near} for network in published_for(run.record.dataset)
        ],
        "last": _last(run),
        "epochs": epochs(run.best.record) if run.best else None,
        "growth": _growth(growth, run.best.record) if run.best else None,
        "least": run.record.budget.get("min_receptive_field"),
    }


def _known(values: list[Any]) -> list[Any] | None:
    """Leave a column out that no trial has."""
    return None if all(value is None for value in values) else values


def _networks(trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """Keep every layer, and every network, once: `known[of[i]]` is that of trial i.

    A network is a list of [stage, layers], by their places in `stages` and `layers`; a layer is [words,
    output channels].
    """
    stages: dict[str, int] = {}
    layers: dict[tuple[str, int], int] = {}
    known: dict[tuple[Any, ...], int] = {}
    of = []
    for trial in trials:
        network = tuple(
            (
                stages.setdefault(name, len(stages)),
                tuple(layers.setdefault(layer, len(layers)) for layer in found),
            )
            for name, found in specs.stages(trial.spec)
        )
        of.append(known.setdefault(network, len(known)))
    return {"stages": list(stages), "layers": list(layers), "known": list(known), "of": of}


def _growths(trials: Sequence[TrialRecord]) -> dict[str, Any] | None:
    """Keep the layers, and the fields that they grow to, once each: trials of a search share most of them.

    `of[i]` is [place in `names`, place in `sizes`] of trial i, None where its record has no growth.
    """
    names: dict[tuple[str, ...], int] = {}
    sizes: dict[tuple[int, ...], int] = {}
    of: list[tuple[int, int] | None] = []
    for trial in trials:
        if not trial.growth:
            of.append(None)
            continue
        layers, fields = zip(*trial.growth, strict=True)
        of.append((names.setdefault(layers, len(names)), sizes.setdefault(fields, len(sizes))))
    return {"names": list(names), "sizes": list(sizes), "of": of} if names else None


def _column(values: Sequence[int | float | str | None]) -> Any:
    """Keep words once each: ten thousand times the name of a kernel would be most of the page."""
    if not any(isinstance(value, str) for value in values):
        return values
    words = list(dict.fromkeys(value for value in values if value is not None))
    places = {word: at for at, word in enumerate(words)}
    return {"words": words, "at": [None if value is None else places[value] for value in values]}


def _last(run: SearchRun) -> dict[str, Any] | None:
    """The winner's last training as a mark in the charts: what it reached on test, else on validation."""
    if run.best is None:
        return None
    record = run.best.record
    reached = record.test_accuracy if record.test_accuracy is not None else record.val_accuracy
    if reached is None:
        return None
    return {"params": record.params, "macs": record.macs, "accuracy": _digits(reached, 7)}


def epochs(record: RunRecord) -> dict[str, list[float | None]]:
    """Return the curves of a training, one list a curve."""
    names = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
    return {name: [_digits(getattr(epoch, name)) for epoch in record.epochs] for name in names}


def _digits(value: float | None, digits: int = 5) -> float | None:
    """Round to significant digits: a page needs no more, and every one costs a byte a trial."""
    return None if value is None else float(f"{value:.{digits}g}")
