"""The sections on the course of a search: the best network so far, and what to do with the winner."""

from reports.pages.html import Markup, element, table
from reports.pages.parts import chart, commands, quoted, section
from reports.runs import SearchRun, TrainRun
from reports.tables import history


def course(run: SearchRun) -> Markup:
    """Draw every trial in its turn with the best one so far, and list the way to the winner."""
    measure = "loss" if history.by_loss(run) else "accuracy"
    why = (
        f"Validation {measure} of each trial after its last epoch, one run each, in the order of their"
        " numbers. The line is the best completed trial so far."
    )
    way = history.way(run.record)
    if way is not None:
        why += " The dotted line leads from the preset that the winner descends from to the winner."
    better = element(
        "details",
        element("summary", "Each improvement as a table"),
        table(history.improvements(run), "improvements"),
    )
    steps = table(way, "lineage") if way is not None else None
    legend = element("p", _legend(way is not None, run.record.winner is not None), class_="legend")
    return section(
        "history", "Best so far", why, chart("best-so-far", f"Validation {measure}"), legend, better, steps
    )


def _legend(descends: bool, winner: bool) -> list[Markup]:
    marks = [
        ('<path class="dot" d="M8,6h.01"/>', "complete"),
        ('<path class="cross" d="M4,2l8,8m-8,0l8,-8"/>', "pruned; at the edge: beyond the scale"),
        ('<path class="square" d="M4,2h8v8h-8z"/>', "preset"),
        ('<path class="line best" d="M0,9h8v-6h8"/>', "best so far"),
    ]
    if descends:
        marks.append(('<path class="line way" d="M0,10l16,-8"/>', "from the preset to the winner"))
    if winner:
        marks.append(('<path class="winner" d="M8,-1l7,7l-7,7l-7,-7z"/>', "winner, as a trial"))
    return [element("span", Markup(f'<svg aria-hidden="true">{mark}</svg>'), words) for mark, words in marks]


def use_it(run: TrainRun, folder: str) -> Markup:
    """Return the commands that put a trained network to use.

    Args:
        run: Of the network; one without weights has nothing to predict with.
        folder: What the commands name: "runs/search/NAME" or "runs/train/NAME".
    """
    named, record = quoted(folder), run.record
    # Weights without a spec are built from a file that runs only where it is named.
    foreign = record.spec is None and record.transfer is None
    named_model = f" --model {quoted(record.target)}" if foreign and record.target is not None else ""
    forms = " --to onnx,int8,c,html" if record.spec is not None else ""
    lines = []
    if (run.folder / "best.safetensors").is_file():
        photos = f"python train.py --predict cat.png dog.jpg --weights {named}"
        lines += [
            ("Classify images of your own", photos + named_model),
            ("Answer over HTTP, with a page to try it", f"python -m serve {named}{named_model}"),
            ("Export it for another runtime or a board", f"python -m export {named}{forms}{named_model}"),
        ]
    if (run.folder / "model.py").is_file():
        lines.append(("See what each unit looks at", f"python -m reports rf {named}"))
    why = "From the root of the repository. The network is one file that needs torch alone: model.py."
    if not lines:
        why = "The folder holds neither weights nor a model.py: train it again with the command below."
    return section("use", "Use it", why, commands(lines))
