"""The next command: what a command of the application shows at its end.

Every command takes its lines from here, so that a flag that changes is changed once. `rfcalc --init`, which
knows nothing of the application, has a line of its own in the same form.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

Step = tuple[Sequence[str | Path], str]
"""Words of a command, and what it does."""


def after_training(folder: Path, target: str | None = None) -> list[Step]:
    """Return what may follow a finished training.

    Args:
        folder: Of the run, or of a search whose winner is trained.
        target: What builds the network, where its weights have no spec.
    """
    model = ["--model", target] if target is not None else []
    return [
        (["python", "-m", "reports", folder], "its page: curves, mistakes, the network"),
        (["python", "train.py", "--predict", "IMAGE", "--weights", folder, *model], "classify images"),
        (["python", "-m", "serve", folder, *model], "answer over HTTP"),
        (["python", "-m", "export", folder, *model, "--to", "onnx,int8"], "take it elsewhere"),
    ]


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


def after_explorer(target: str) -> list[Step]:
    """Return what may follow the explorer of a network."""
    return [(["python", "-m", "rfcalc", target, "--explain", "LAYER"], "why a field is what it is")]


def after_comparison(sides: Sequence[str]) -> list[Step]:
    """Return what may follow a comparison on the terminal."""
    return [(["python", "-m", "reports", "compare", *sides, "--format", "html"], "the same as a page")]


def after_export(target: str, trained: bool) -> list[Step]:
    """Return what may follow an export.

    Args:
        target: What was exported.
        trained: Whether it has trained weights.
    """
    if trained:
        return [(["python", "-m", "serve", target], "answer over HTTP, from the ONNX file")]
    return [(["python", "train.py", "--model", target], "train it; these weights are fresh")]


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
