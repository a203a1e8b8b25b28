"""The section of a search's page on accuracy against cost; its charts are drawn by assets/scatter.js."""

from collections.abc import Callable

from records.text import plural
from records.trial import TrialRecord
from reports.pages.html import Markup, element, table
from reports.pages.parts import chart, section
from reports.runs import SearchRun
from reports.tables import conditions, fronts
from reports.tables import runs as tables
from reports.tables.published import published_for, table_of

_NOUNS = {"params": "parameters", "macs": "MACs"}


def accuracy_and_cost(run: SearchRun) -> Markup:
    """Scatter of accuracy against each cost that differs between the trials; the Pareto fronts as tables."""
    drawn, tables_of, same = [], [], []
    for name, cost in fronts.COSTS.items():
        noun = _NOUNS[name]
        if fronts.level(run.scored, cost):
            same.append(_same(run, cost, noun))
            continue
        drawn.append(chart(f"by-{name}", f"Accuracy and {noun}"))
        front = tables.trials(fronts.pareto(run.scored, cost), f"Pareto front: accuracy against {noun}")
        summary = element("summary", f"The Pareto front against {noun} as a table")
        tables_of.append(element("details", summary, table(front, f"front-{name}")))
    optimised = fronts.of_objectives(run.record)
    if optimised is not None:
        tables_of.insert(0, table(optimised, "front-of-objectives"))
    charts = element("div", drawn, class_="pair") if drawn else None
    others = published_for(run.record.dataset)
    known = None
    if others:
        summary = element("summary", f"{len(others)} published networks as a table, with their sources")
        known = element("details", summary, table(table_of(others), "published-table"))
    why = (
        "Dots and crosses: validation accuracy of each trial after its last epoch, one run each:"
        f" {_effort(run)}. No complete trial beats one on the front at a lower cost. Hover or use the arrow"
        " keys to read a trial; click or Enter marks it in every chart and opens it; a rectangle drawn with"
        " the mouse keeps its trials."
    )
    notes = [element("p", words, class_="why level") for words in same]
    if not drawn:
        return section("accuracy", "Accuracy against cost", None, notes, tables_of, known)
    marks = element("p", _comparison(run), class_="why") if others or run.best else None
    return section(
        "accuracy", "Accuracy against cost", why, notes, marks, charts, _legend(run), tables_of, known
    )


def _same(run: SearchRun, cost: Callable[[TrialRecord], int], noun: str) -> str:
    costs = [cost(trial) for trial in run.scored if trial.state == "complete"]
    return (
        f"{noun[:1].upper()}{noun[1:]} are no axis here: all complete trials have {min(costs):,} to"
        f" {max(costs):,}, within {100 * fronts.LEVEL:.0f} %, so that none is the cheaper choice."
    )


def _comparison(run: SearchRun) -> str:
    """What the marks that are no trials were measured on: figures of different kinds share the chart."""
    words = []
    if run.best is not None and run.best.record.test_accuracy is not None:
        note = conditions.test_note(run.best.record)
        words.append(
            f"The hollow diamond is the winner after its last training, on test ({note}); where it lies far"
            " above the trials it is drawn at the edge, with its value."
        )
    if published_for(run.record.dataset):
        words.append(
            "Triangles are published networks: test accuracy as their authors report it, on the original"
            f" CIFAR-10 images; this run's images are {run.record.dataset.title}. Trials are short runs:"
            " compare the winner with them, not the trials."
        )
    return " ".join(words)


def _legend(run: SearchRun) -> Markup:
    marks = [
        ('<path class="dot" d="M8,6h.01"/>', "complete"),
        ('<path class="cross" d="M4,2l8,8m-8,0l8,-8"/>', "pruned"),
        ('<path class="front" d="M0,8h8v-5h8"/>', "Pareto front"),
        ('<path class="winner" d="M8,-1l7,7l-7,7l-7,-7z"/>', "winner, as a trial"),
    ]
    if run.best is not None:
        marks.append(
            ('<path class="winner last" d="M8,-1l7,7l-7,7l-7,-7z"/>', "winner, after its last training")
        )
    if published_for(run.record.dataset):
        marks.append(('<path class="published" d="M8,1l5,9h-10z"/>', "published"))
    return element(
        "p",
        [element("span", Markup(f'<svg aria-hidden="true">{mark}</svg>'), words) for mark, words in marks],
        class_="legend",
    )


def _effort(run: SearchRun) -> str:
    """How much a trial was trained, so that nobody takes its accuracy for that of a finished network."""
    return f"at most {plural(run.most_epochs, 'epoch')} on {run.record.dataset.train_images:,} images"
