"""The next command: what a command of the application shows at its end.

Every command takes its lines from here, so that a flag that changes is changed once. `rfcalc --init`, which
knows nothing of the application, has a line of its own in the same form.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from records.layout import SEARCHES

Step = tuple[Sequence[str | Path], str]
"""Words of a command, and what it does."""


def after_training(folder: Path, target: str | None = None) -> list[Step]:
    """Return what may follow a finished training.

    Args:
        folder: Of the run, or of a search whose winner is trained.
        target: What builds the network, where its weights have no spec.
    """
    model = _model(target)
    return [
        (["python", "-m", "reports", folder], "its page: curves, mistakes, the network"),
        (["python", "train.py", "--predict", "IMAGE", "--weights", folder, *model], "classify images"),
        (["python", "-m", "serve", folder, *model], "answer over HTTP"),
        (["python", "-m", "export", folder, *model, "--to", "onnx,int8"], "take it elsewhere"),
    ]


def after_evaluation(weights: Path, target: str | None = None) -> list[Step]:
    """Return what may follow `train.py --evaluate`.

    Args:
        weights: A run, or the file of its weights.
        target: What builds the network, where its weights have no spec.
    """
    return [
        (
            ["python", "train.py", "--predict", "IMAGE", "--weights", weights, *_model(target)],
            "classify images",
        )
    ]


def after_prediction(weights: Path, target: str | None = None) -> list[Step]:
    """Return what may follow `train.py --predict`; the arguments are those of `after_evaluation`."""
    return [(["python", "-m", "serve", weights, *_model(target)], "answer over HTTP")]


def after_standing(folder: Path, *, goes_on: bool, ended: bool, trained: bool) -> list[Step]:
    """Return what may follow the state of a search.

    Args:
        folder: Of the search.
        goes_on: Whether a process drives it.
        ended: Whether it ran to its end.
        trained: Whether its winner has weights.
    """
    page: Step = (["python", "-m", "reports", folder], "its page, with what there is so far")
    if goes_on:
        return [page]
    if not ended:
        return [(resumed(folder), "continue it"), page]
    return after_training(folder) if trained else after_search(folder, trained=False)


def resumed(folder: Path) -> list[str]:
    """Return the words of the command that continues the search of a folder."""
    out = [] if folder.parent == SEARCHES else ["--out", str(folder.parent)]
    return ["python", "-m", "search", "--resume", "--name", folder.name, *out]


def after_search(folder: Path, trained: bool) -> list[Step]:
    """Return what may follow a finished search.

    Args:
        folder: Of the search, which has written its page.
        trained: Whether its winner has weights.
    """
    if trained:
        return after_training(folder)[1:]
    return [(["python", "train.py", "--model", folder, "--full"], "train the winner")]


def after_report(network: str | Path | None) -> list[Step]:
    """Return what may follow the page of a run.

    Args:
        network: Its folder, or what builds its network; None: there is no network yet, or nothing builds it.
    """
    if network is None:
        return []
    return [(["python", "-m", "reports", "rf", network], "which pixels each unit of each layer sees")]


def after_explorer(target: str, size: str | None = None) -> list[Step]:
    """Return what may follow the explorer of a network; `size` is its input, if it was given: "3x32x32"."""
    words = ["python", "-m", "rfcalc", target, *_input(size), "--explain", "LAYER"]
    return [(words, "why a field is what it is")]


def after_comparison(sides: Sequence[str], *, size: str | None = None, layers: bool = False) -> list[Step]:
    """Return what may follow a comparison on the terminal.

    Args:
        sides: What was compared.
        size: Input of networks that name none, if it was given: "3x32x32".
        layers: Whether the layers alone were shown.
    """
    words = ["python", "-m", "reports", "compare", *sides, *_input(size), *(["--layers"] if layers else [])]
    return [([*words, "--format", "html"], "the same as a page")]


def after_comparison_page(side: str | None, size: str | None = None) -> list[Step]:
    """Return what may follow the page of a comparison.

    Args:
        side: One of the sides whose network is known; None: there is none.
        size: Its input, if it was given: "3x32x32".
    """
    if side is None:
        return []
    words = ["python", "-m", "reports", "rf", side, *_input(size)]
    return [(words, "which pixels each unit of each layer sees")]


def _model(target: str | None) -> list[str]:
    return [] if target is None else ["--model", target]


def _input(size: str | None) -> list[str]:
    return [] if size is None else ["--input", size]


def after_export(
    target: str, *, trained: bool, model: str | None = None, served: bool = False, page: Path | None = None
) -> list[Step]:
    """Return what may follow an export.

    Args:
        target: What was exported.
        trained: Whether it has trained weights.
        model: What builds its network, where its weights have no spec.
        served: Whether the ONNX file is where the service looks for it.
        page: Folder of the run whose page shows the export; None: no page does.
    """
    if not trained:
        name, at, _ = target.rpartition("@")
        network = name if at and not Path(target).exists() else target
        return [(["python", "train.py", "--model", network], "train it; these weights are fresh")]
    words = _model(model)
    source = ", from the ONNX file" if served else ""
    steps: list[Step] = [(["python", "-m", "serve", target, *words], f"answer over HTTP{source}")]
    if page is not None:
        steps.append((["python", "-m", "reports", page], "its page, with accuracy, size and boards"))
    return steps


def after_start(address: str) -> list[Step]:
    """Return what may follow the start of the service at an address such as http://127.0.0.1:8123."""
    return [(["curl", "-X", "POST", f"{address}/api", "-F", "file=@IMAGE"], "class and confidence")]


def shown(steps: Sequence[Step]) -> str:
    """Return a line for each step, the first marked: "next  python -m reports runs/train/a  # its page"."""
    commands = [shlex.join(map(str, words)) for words, _ in steps]
    width = max(map(len, commands), default=0)
    lines = [
        f"{'next' if not number else '':4}  {command:{width}}  # {does}"
        for number, (command, (_, does)) in enumerate(zip(commands, steps, strict=True))
    ]
    return "\n".join(lines)
