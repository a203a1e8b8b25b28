"""The command line of train.py; parsed before anything slow is imported."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from training.flags import natural, plain_name, positive


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"train.py: error: {message} (--help lists the flags)\n")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the arguments; a mistake prints one line to stderr and exits with 2."""
    parser = _Parser(
        prog="train.py",
        description="Train one network, evaluate it, and write runs/train/<name>/.",
        epilog="Ctrl-C stops; the same command with --resume continues at the last whole epoch.",
    )
    network = parser.add_argument_group("network (one of)").add_mutually_exclusive_group()
    network.add_argument("--preset", help="a named network (default: residual on a GPU, tiny without)")
    network.add_argument("--spec", type=Path, metavar="FILE", help="a spec.json")
    network.add_argument("--model", metavar="TARGET", help="model.py, model.py:Name or package.module:name")
    add = parser.add_argument_group("data").add_argument
    add("--data", metavar="D", help="cifar10, shapes, or a folder or archive of {train,test}/<class>/*")
    add("--cache", type=Path, metavar="DIR", help="where decoded images are kept (default data/cache)")
    add("--resize", type=positive, metavar="N", help="bring every image to N x N pixels")
    add(
        "--subset",
        type=positive,
        metavar="N",
        help="training images, every class in proportion (default all)",
    )
    add("--full", action="store_true", default=None, help="train on train + validation, report test")
    add = parser.add_argument_group("training").add_argument
    add("--recipe", help="fast, standard, record, or a recipe.json (default fast)")
    add("--epochs", type=positive, metavar="N", help="instead of the recipe's")
    add("--policy", help="augmentation instead of the recipe's: none, mild, assignment, strong")
    add("--seed", type=natural, metavar="N", help="of weights, shuffling and augmentation (default 0)")
    add("--device", choices=("auto", "cpu", "cuda", "mps"), help="default auto")
    add(
        "--workers",
        type=natural,
        metavar="N",
        help="threads that augment ahead (default: none on a CPU, 4 on a GPU)",
    )
    add("--deterministic", action="store_true", default=None, help="the same bits at every run, slower")
    add = parser.add_argument_group("where").add_argument
    add("--out", type=Path, default=Path("runs/train"), metavar="DIR", help="default runs/train")
    add(
        "--name",
        type=plain_name,
        help="folder below --out (default: date and time; with --resume the newest)",
    )
    add("--resume", action="store_true", help="continue a run; its own flags hold")
    add("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(arguments)
