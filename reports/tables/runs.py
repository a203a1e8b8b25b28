"""The tables of a search and of a training run, made from their records."""

import statistics
from collections.abc import Sequence

from records.outcome import kind_of
from records.run import EpochRecord, RunRecord
from records.search import LimitRecord, LossDifference, SearchRecord
from records.trial import TrialRecord
from reports.mistakes import Mistake
from reports.tables.table import Cell, Column, Table, counts, millions, percents, times


def verdict(record: SearchRecord) -> Table:
    """Return the budget, limit by limit, with the winner's value and margin."""
    words = {True: "holds", False: "BROKEN", None: "not judged"}
    marks = {"holds": "yes", "BROKEN": "no", "not judged": "unknown"}
    columns = (
        Column("limit"),
        # Second, so that a narrow screen shows it.
        Column("verdict", mark=marks.get),
        Column("winner has", number=True),
        Column("required", number=True),
        Column("margin", _room, number=True),
    )
    rows = tuple(
        (
            limit.name,
            words[limit.holds],
            _value(limit.value),
            _bound(limit),
            None if limit.holds is None or isinstance(limit.limit, bool) else limit.margin,
        )
        for limit in record.verdict
    )
    return Table("Limit by limit", columns, rows)


def _room(margin: float) -> str:
    """Return a signed margin in words: "room 16" below 0, "missed by 6,746" above."""
    size = f"{abs(margin):,.0f}" if margin == int(margin) else f"{abs(margin):,g}"
    return f"missed by {size}" if margin > 0 else f"room {size}"


def trials(chosen: Sequence[TrialRecord], caption: str) -> Table:
    """One row a trial, with what the sampler proposed."""
    names = proposed(chosen)
    columns = (
        Column("trial", number=True),
        Column("state"),
        percents("validation accuracy"),
        counts("params"),
        Column("MACs", millions, number=True),
        counts("RF"),
        *(counts(name) for name in names),
        Column("epochs", number=True),
        times("time"),
    )
    rows = tuple(
        (
            *(trial.number, trial.state, trial.score, trial.params, trial.macs, trial.receptive_field),
            *(trial.values.get(name) for name in names),
            *(len(trial.epochs), trial.seconds),
        )
        for trial in chosen
    )
    return Table(caption, columns, rows)


def curves(chosen: Sequence[TrialRecord], epochs: int) -> Table:
    """One row a trial, its validation accuracy in one column for each of `epochs` epochs (at least two)."""
    steps = range(max(2, epochs))
    columns = (
        *(Column("trial", number=True), Column("state")),
        *(percents(f"epoch {step + 1}") for step in steps),
    )
    rows = tuple(
        (
            *(trial.number, trial.state),
            *(trial.epochs[step].val_accuracy if step < len(trial.epochs) else None for step in steps),
        )
        for trial in chosen
    )
    return Table("Learning curves (validation accuracy)", columns, rows)


def proposed(chosen: Sequence[TrialRecord]) -> list[str]:
    """Names of what the sampler proposed, in the order in which they were first met."""
    return list(dict.fromkeys(name for trial in chosen for name in trial.values))


def finalists(record: SearchRecord) -> Table:
    """The trials that were trained again, longer, the best first; with several seeds, mean and spread."""
    repeated = any(len(each.scores) > 1 for each in record.finalists)
    spread = (
        *(Column("runs", number=True), Column("standard deviation", _points, number=True)),
        *(percents("lowest"), percents("highest")),
    )
    raced = any(each.losses for each in record.finalists)
    against = f"against the best {kind_of(record.best_known, record)}"
    columns = (
        Column("network") if raced else Column("trial", number=True),
        *((Column("loss", _four, number=True), Column(against)) if raced else ()),
        percents("validation, mean" if repeated else "validation"),
        *(spread if repeated else ()),
        percents("as a trial"),
        counts("params"),
        Column("MACs", millions, number=True),
        counts("RF"),
        Column("epochs", number=True),
        times("time"),
        Column(""),
    )
    ranked = sorted(record.finalists, key=lambda each: (each.loss or 0.0, -each.score, each.number))
    rows = tuple(
        (
            *((each.title, each.loss, _gap(each.gap)) if raced else (each.number,)),
            each.score,
            *(_spread(each.scores or (each.score,)) if repeated else ()),
            *(each.trial_score, each.params, each.macs, each.receptive_field),
            *(each.epochs, each.seconds, "winner" if each.number == record.winner else ""),
        )
        for each in ranked
    )
    how = "over runs of different seeds" if repeated else "one run each"
    if raced:
        return Table(f"Finalists, with seeds that no stage before had used ({how})", columns, rows)
    return Table(f"Finalists, trained again for longer (validation accuracy, {how})", columns, rows)


def _gap(gap: LossDifference | None) -> str | None:
    """Return a difference in validation loss with half of its 95 % interval."""
    return None if gap is None else f"{gap.loss:+.4f} ± {gap.reach:.4f}"


def presets(record: SearchRecord) -> Table:
    """The presets, the best first: trained as trials, in searches of earlier versions as finalists."""
    columns = (
        *(Column("preset"), percents("validation"), Column("runs", number=True), counts("params")),
        *(Column("MACs", millions, number=True), counts("RF"), Column("epochs", number=True), times("time")),
    )
    rows = tuple(
        (
            *(each.name, each.score, max(1, len(each.scores)), each.params, each.macs),
            *(each.receptive_field, each.epochs, each.seconds),
        )
        for each in sorted(record.presets, key=lambda each: (-each.score, each.name))
    )
    how = "the finalists were" if record.best_known is None else "trials are"
    return Table(f"Presets, trained as {how} (validation accuracy)", columns, rows)


def _spread(scores: Sequence[float]) -> tuple[Cell, ...]:
    if len(scores) < 2:
        return len(scores), None, None, None
    return len(scores), statistics.stdev(scores), min(scores), max(scores)


def _points(share: float) -> str:
    return f"{100 * share:.2f} points"


def screening(record: SearchRecord) -> Table | None:
    """What random networks of the space came to before the first trial, by arithmetic alone."""
    found = record.screening
    if found is None:
        return None
    ranked = sorted(found.broken.items(), key=lambda pair: (-pair[1], pair[0]))
    rows: list[tuple[Cell, ...]] = [("fit the budget", found.fit, found.fit / max(1, found.drawn))]
    rows += [(f"break {name}", number, number / max(1, found.drawn)) for name, number in ranked]
    columns = (Column("random networks of the space"), counts("proposals"), percents("share"))
    different = f"{found.drawn:,} drawn, {found.networks:,} different ones fit"
    return Table(f"Screened by arithmetic before the first trial ({different})", columns, tuple(rows))


def outcomes(record: SearchRecord) -> Table:
    """How many proposals ended how."""
    meaning = {
        "complete": "trained to the end of their epochs",
        "pruned": "stopped in training: hopeless against the others",
        "failed": "training raised an error",
        "rejected": "broke the budget, or were proposed before; never trained",
    }
    rows = tuple((name, record.trials.get(name, 0), words) for name, words in meaning.items())
    columns = (Column("outcome"), counts("proposals"), Column("what it means"))
    return Table("What became of the proposals", columns, rows)


def rejections(record: SearchRecord) -> Table:
    """Why proposals were rejected before any training, the most frequent reason first."""
    total = sum(record.rejections.values())
    ranked = sorted(record.rejections.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = tuple((name, number, number / total if total else None) for name, number in ranked)
    columns = (Column("limit broken first"), counts("proposals"), percents("share"))
    return Table("Rejected before training, and why", columns, rows)


def importances(record: SearchRecord) -> Table:
    """How much of the spread of the accuracy each dimension explains."""
    ranked = sorted(record.importances.items(), key=lambda pair: (-pair[1], pair[0]))
    columns = (Column("dimension"), Column("importance", lambda share: f"{share:.3f}", number=True))
    return Table("Importance of each dimension", columns, tuple(ranked))


def per_class(run: RunRecord) -> Table:
    """Accuracy of each class, in the data set's order, with the class it is most often taken for."""
    matrix, names = run.confusion, run.dataset.classes
    rows: list[tuple[Cell, ...]] = []
    for name, share in (run.per_class or {}).items():
        images, taken = None, None
        if matrix is not None and name in names[: len(matrix)]:
            index = names.index(name)
            row = matrix[index]
            images = sum(row)
            wrong = [(-number, other) for other, number in enumerate(row) if other != index and number]
            if wrong:
                number, other = min(wrong)
                taken = f"{names[other]} ({-number:,})"
        rows.append((name, share, images, taken))
    columns = (
        Column("class"),
        percents("accuracy"),
        counts("images"),
        Column("most often taken for"),
    )
    return Table("Accuracy of each class", columns, tuple(rows))


def confusion(run: RunRecord) -> Table:
    """Counts; a row is a true class, a column the predicted one."""
    names = run.dataset.classes
    columns = (Column("true \\ predicted"), *(counts(name) for name in names))
    rows: list[tuple[Cell, ...]] = []
    for name, row in zip(names, run.confusion or (), strict=False):
        rows.append((name, *row))
    return Table("Confusion matrix (counts)", columns, tuple(rows))


def epochs(run: Sequence[EpochRecord]) -> Table:
    """One row an epoch."""
    columns = (
        Column("epoch", number=True),
        Column("train loss", _four, number=True),
        percents("train accuracy"),
        Column("val loss", _four, number=True),
        percents("val accuracy"),
        Column("learning rate", lambda value: f"{value:.5g}", number=True),
        times("time"),
    )
    rows = tuple(
        (e.epoch, e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy, e.learning_rate, e.seconds)
        for e in run
    )
    return Table("Epoch by epoch (training on augmented images)", columns, rows)


def _bound(limit: LimitRecord) -> str:
    """Return the limit with the side on which it holds: ">= 53", "<= 99,999", "yes"."""
    yes_or_no = isinstance(limit.limit, bool)
    if yes_or_no and limit.name.startswith("forbid"):
        return "no" if limit.limit else "yes"
    sign = "" if yes_or_no else {"min": ">= ", "max": "<= "}.get(limit.name[:3], "")
    return sign + _value(limit.limit)


def _value(value: int | bool | None) -> str:
    if value is None:
        return "not judged"
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:,}"


def _four(value: float) -> str:
    return f"{value:.4f}"


def given_up(attempts: Sequence[TrialRecord]) -> Table:
    """Why trials were pruned or failed, the most frequent reason first."""
    reasons: dict[tuple[str, str], list[int]] = {}
    for trial in attempts:
        if trial.state != "complete":
            reasons.setdefault((trial.state, trial.reason or "no reason is recorded"), []).append(
                trial.number
            )
    ranked = sorted(reasons.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    rows = tuple((state, reason, len(numbers), _listed(numbers)) for (state, reason), numbers in ranked)
    columns = (Column("state"), Column("reason"), counts("trials"), Column("which"))
    return Table("Given up in training, and why", columns, rows)


def _listed(numbers: Sequence[int], longest: int = 12) -> str:
    more = len(numbers) - longest
    return ", ".join(map(str, numbers[:longest])) + (f" and {more:,} more" if more > 0 else "")


def mistakes(found: Sequence[Mistake]) -> Table:
    """One row a mistake, in the order of the picture."""
    columns = (Column("image", number=True), Column("it is"), Column("network says"), percents("how surely"))
    return Table(
        "The same as a table", columns, tuple((m.image, m.true, m.predicted, m.confidence) for m in found)
    )
