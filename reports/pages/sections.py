"""The sections of a search's page, from its records; the charts themselves are drawn by assets/report.js.

The one on accuracy against cost is in `accuracy_section`.
"""

from dataclasses import replace
from typing import Any

from records.outcome import outcome, winner_title
from records.story import details
from records.text import duration, plural
from reports.pages import network
from reports.pages import parts as shared
from reports.pages.html import Markup, element, join, table
from reports.pages.parts import chart, section
from reports.runs import SearchRun, TrainRun
from reports.tables import conditions
from reports.tables import runs as tables
from reports.tables.published import published_for
from reports.tables.stages import stages
from reports.tables.table import millions, percent

SHOWN_WITHOUT_SCRIPT = 50
"""Rows of the trials' table that are in the page itself; the script shows all of them."""
CURVES_WITHOUT_SCRIPT = 10
"""The same for the learning curves, which have a column an epoch."""
DRAWN_ONE_BY_ONE = 1500
"""MANY of assets/density.js."""
SHOWN_AT_ONCE, FIRST_SHOWN = 1000, 500
"""A study with more scored trials than the former opens with its best ones; "Top" shows as many as asked."""


def lead(run: SearchRun) -> Markup:
    """One sentence that says what was done and what came of it."""
    record = run.record
    scored = sum(record.trials.get(state, 0) for state in ("complete", "pruned"))
    words: list[Any] = [
        f"{scored:,} candidates trained, {record.trials.get('rejected', 0):,} rejected before training, "
    ]
    words += [f"in {duration(record.seconds)} on {record.environment.hardware}. Data set: "]
    words += [element("b", record.dataset.title), ". "]
    if record.winner is not None and run.best is not None:
        words += [element("b", winner_title(record).capitalize()), " won on validation"]
        tested = run.best.record.test_accuracy is not None
        words += [", was trained again and met the test set once."] if tested else ["."]
    return element("p", words, class_="lead")


def key_figures(run: SearchRun) -> Markup:
    """The winner in numbers, each with its conditions; before there is one, the best trial."""
    record = run.record
    budget = record.budget
    chosen = next((each for each in record.finalists if each.number == record.winner), None)
    if run.best is None:
        if not run.scored:
            return shared.figures([("Trials", f"{len(run.trials):,}", "none has an accuracy yet")])
        best = run.scored[0]
        return shared.figures(
            [
                ("Best so far, validation", percent(best.score or 0.0), f"trial {best.number}, n = 1 run"),
                ("Parameters", f"{best.params:,}", _limit("at most", budget.get("max_params"))),
                (
                    "Receptive field",
                    f"{best.receptive_field} px",
                    _limit("at least", budget.get("min_receptive_field")),
                ),
                ("MACs", millions(best.macs), "convolution and linear, per image"),
            ]
        )
    winner = run.best.record
    facts = [conditions.accuracy_words(winner)]
    if chosen is not None:
        seen = record.dataset.validation_images
        error = conditions.standard_error(chosen.score, seen)
        words = (
            f"{conditions.repeats(chosen.scores)}, {plural(chosen.epochs, 'epoch')}; {seen:,} images{error}"
        )
        facts.append(("Validation accuracy", percent(chosen.score), f"{words}; chosen on this"))
    field = min(winner.receptive_field)
    facts += [
        ("Parameters", f"{winner.params:,}", _limit("at most", budget.get("max_params"))),
        ("Receptive field", f"{field} px", _limit("at least", budget.get("min_receptive_field"))),
        ("MACs", millions(winner.macs), "convolution and linear, per image"),
        (
            "Search, wall time",
            duration(record.seconds),
            f"the winner's last training: {conditions.took(winner)}",
        ),
    ]
    return shared.figures(facts)


def budget(run: SearchRun) -> Markup:
    """The verdict, limit by limit."""
    record = run.record
    if not record.verdict:
        rows = [[element("dt", name), element("dd", str(value))] for name, value in record.budget.items()]
        return section(
            "budget", "Budget", "There is no winner to judge yet. The limits:", element("dl", rows)
        )
    broken = [limit.name for limit in record.verdict if limit.holds is False]
    held = sum(limit.holds is True for limit in record.verdict)
    total = len(record.verdict)
    verdict = (
        f"The winner breaks {', '.join(broken)}." if broken else f"The winner holds {held} of {total} limits."
    )
    unjudged = total - held - len(broken)
    verdict += f" {unjudged} could not be judged." if unjudged else ""
    return section("budget", "Budget and verdict", verdict, table(tables.verdict(record), "verdict"))


def winner(run: SearchRun, best: TrainRun, looked: network.NetworkView) -> Markup:
    """The winner's network: drawn stage by stage, layer by layer, its recipe and its standalone source."""
    why = (
        f"{winner_title(run.record).capitalize()}: the network {best.record.network}, "
        "with what the search proposed for it."
    )
    return section("winner", "The winner", why, looked.content)


def tools(run: SearchRun) -> Markup:
    """The controls that every chart below listens to, and the place where a trial is opened."""
    total = len(run.scored)
    first = total if total <= SHOWN_AT_ONCE else FIRST_SHOWN
    top = element("input", type="number", id="top", min=1, max=max(1, total), value=first)
    states = [
        element("label", element("input", type="checkbox", data_state=state, checked=True), state)
        for state in ("complete", "pruned")
    ]
    others = None
    if published_for(run.record.dataset):
        box = element("input", type="checkbox", id="published", checked=True)
        others = element("label", box, "published networks")
    opened = element("aside", "", id="opened", class_="opened", aria_label="The opened trial", hidden=True)
    controls = element(
        "div",
        element("label", "Top ", top, f" of {total:,} scored"),
        states,
        others,
        element("button", "Clear filters and marks", type="button", id="clear"),
        element("output", "", id="shown", aria_live="polite"),
        class_="tools",
        role="group",
        aria_label="Which trials the charts show",
    )
    return join((opened, controls))


def curves(run: SearchRun) -> Markup:
    """Learning curves of the trials, and the same as a table."""
    why = "Validation accuracy epoch by epoch (EMA weights, no test-time augmentation), one run a trial."
    listed = table(tables.curves(run.scored[:CURVES_WITHOUT_SCRIPT], run.most_epochs), "curves-table")
    more = element("p", "", id="curves-table-more", class_="why")
    shown = element("details", element("summary", "The curves as a table"), listed, more)
    drawn = chart("learning", "Validation accuracy by epoch")
    return section("curves", "Learning curves", why, drawn, _ramp(run), shown)


def _ramp(run: SearchRun) -> Markup | None:
    """The key to the colours of the lines; thousands of them are a density, which has one."""
    if len(run.scored) > DRAWN_ONE_BY_ONE:
        return None
    steps = [element("i", class_=f"rank-{rank}") for rank in range(5)]
    return element(
        "p", "less accurate", element("span", steps, aria_hidden="true"), "more accurate", class_="ramp"
    )


def importance(run: SearchRun) -> Markup:
    """How much each dimension matters, as bars that are a table."""
    if not run.record.importances:
        why = "Not known: too few trials were completed."
        return section("importance", "What matters", why)
    why = (
        "Share of the accuracy's spread over the completed trials that each dimension explains, as the search"
        " recorded it. With few trials it is a hint, not a measurement."
    )
    listed = table(tables.importances(run.record), "importances", bars=1)
    return section("importance", "What matters", why, listed)


def dimensions(run: SearchRun) -> Markup:
    """Parallel coordinates over what was proposed, the cost and the accuracy."""
    why = (
        "One line a trial. Drag along an axis to keep the trials that pass through it, in every chart; a"
        " click on the axis frees it. The fields below do the same from the keyboard."
    )
    filters = element(
        "details", element("summary", "Limits by number"), element("div", id="filters", class_="filters")
    )
    constant = element("p", "", id="constant", class_="why")
    drawn = chart("parallel", "Parallel coordinates")
    return section("dimensions", "Dimensions", why, drawn, _ramp(run), constant, filters)


def trials(run: SearchRun) -> Markup:
    """Every trial as a row; the script sorts, filters and copies all of them."""
    ranked = [*run.scored, *(trial for trial in run.trials if trial.score is None)]
    shown = table(tables.trials(ranked[:SHOWN_WITHOUT_SCRIPT], "All trials"), "trials-table")
    why = (
        "A click on a heading sorts; a click on a row, or Enter, marks the trial in every chart and opens it."
    )
    return section("trials", "Trials", why, shown, element("p", "", id="trials-table-more", class_="why"))


def rejected(run: SearchRun) -> Markup:
    """What was proposed and never trained, or given up, and why."""
    given_up = tables.given_up(run.trials)
    why = "The budget is checked before any training: a rejected proposal costs milliseconds, not epochs."
    parts = [table(tables.outcomes(run.record), "outcomes")]
    screened = tables.screening(run.record)
    if screened is not None:
        parts.append(table(screened, "screening"))
    if run.record.rejections:
        parts.append(table(tables.rejections(run.record), "rejections"))
    if given_up.rows:
        parts.append(table(given_up, "given-up"))
    return section("rejected", "Rejected, pruned, failed", why, parts)


def finalists(run: SearchRun) -> Markup | None:
    """The finalists' table."""
    if not run.record.finalists:
        return None
    runs = max(max(1, len(each.scores)) for each in run.record.finalists)
    why = "The best trials, trained again for longer; the winner is the best on validation."
    if run.record.best_known is not None:
        why = "The best trials and presets, trained with fresh seeds; the preset stays unless it is beaten."
    why += " One run each: no spread is known." if runs == 1 else f" Mean and spread of up to {runs} seeds."
    parts = [table(tables.finalists(run.record), "finalists-table")]
    if run.record.presets:
        parts.append(table(tables.presets(run.record), "presets-table"))
        parts.append(element("p", outcome(run.record) or ""))
    notes = list(details(run.record, run.trials, with_lineage=False))
    if notes:
        parts.append(element("ul", [element("li", line) for line in notes], class_="notes"))
    return section("finalists", "Finalists", why, parts)


def reproduce(run: SearchRun) -> Markup:
    """Commands, seed, versions, hardware."""
    record = run.record
    folder = shared.quoted(f"runs/search/{run.folder.resolve().name}")
    lines = [("Run this search again", record.command)]
    if run.best is not None:
        lines.append(("Measure the winner", f"python -m rfcalc {folder}/best/model.py"))
    lines.append(("Write this page again", f"python -m reports {folder}"))
    facts = shared.environment_table(record.dataset, record.environment, record.seed, record.started)
    if run.best is not None:
        row = ("images of the winner's last training", conditions.images(run.best.record.dataset))
        facts = replace(facts, rows=(*facts.rows[:2], row, *facts.rows[2:]))
    why = (
        f"Sampler: {record.sampler}. The same seed gives the same proposals; training on other hardware may"
        " round differently."
    )
    parts = [shared.commands(lines), table(facts, "environment")]
    if (listed := stages(record)) is not None:
        parts.append(table(listed, "stages-of-the-search"))
    return section("reproduce", "How to reproduce it", why, parts)


def _limit(words: str, bound: object) -> str:
    return f"{words} {bound:,}" if isinstance(bound, int) else "no limit set"
