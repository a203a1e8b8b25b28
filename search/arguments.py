"""The command line of `python -m search`; parsed before anything slow is imported."""

import argparse
import re
from pathlib import Path

from records.flags import OneLineParser, add_place, positive, seed

EPILOG = """\
Every proposal is checked against the budget ([tool.rfcalc] in pyproject.toml) before any training. All
choices are made on validation images held out of train; the winner alone meets the test images, once.
Without --data, CIFAR-10 is used where it is present or can be downloaded, otherwise the built-in shapes.
Ctrl-C stops; the same command with --resume continues."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the arguments; a mistake prints one line to stderr and exits with 2."""
    parser = OneLineParser(
        who="search",
        way_out="; see python -m search --help",
        prog="python -m search",
        description="Find, train and explain the best small network that fits the budget.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--trials",
        type=positive,
        metavar="N",
        help="candidates that fit the budget and are trained (default 50)",
    )
    add = parser.add_argument_group("data").add_argument
    add(
        "--data",
        metavar="D",
        help="cifar10, cifar100, shapes, or a folder or archive of train/<class>/* and test/<class>/*",
    )
    add("--cache", type=Path, metavar="DIR", help="where decoded images are kept (default data/cache)")
    add("--resize", type=positive, metavar="N", help="bring every image to N x N pixels")
    add = parser.add_argument_group("the stages (defaults depend on the device and the data)").add_argument
    add("--epochs", type=positive, metavar="N", help="epochs of a trial")
    add("--subset", type=positive, metavar="N", help="training images of a trial")
    add("--finalists", type=positive, metavar="N", help="best trials that are trained longer")
    add("--final-epochs", type=positive, metavar="N", help="epochs of a finalist")
    add("--final-subset", type=positive, metavar="N", help="training images of a finalist")
    add("--final-seeds", type=positive, metavar="N", help="runs of each finalist; their mean counts")
    add(
        "--winner-epochs",
        type=positive,
        metavar="N",
        help="epochs of the winner, on train and validation together",
    )
    add(
        "--presets",
        metavar="NAMES",
        help="presets trained as the finalists are, for comparison: tiny,residual, or none (default: all "
        "that fit; on a CPU those of at most 13M MACs)",
    )
    add = parser.add_argument_group("what is searched").add_argument
    add(
        "--space",
        metavar="S",
        help="widths of the base network (default), full for the whole grammar, or a FILE.toml",
    )
    add("--space-file", type=Path, metavar="FILE", help="TOML file that narrows the space")
    add("--base", metavar="SPEC", help="preset or spec.json whose widths are searched (default by device)")
    add(
        "--no-fill",
        dest="fill",
        action="store_const",
        const=False,
        help="take widths as proposed; otherwise they are filled up to just under max-params",
    )
    add(
        "--max-macs",
        type=count,
        metavar="N",
        help="turn away networks of more MACs, 12M for instance (default with --space full on a CPU: 13M)",
    )
    add("--sampler", metavar="S", help="tpe (default), random, nsga2, gp or evolution")
    add(
        "--objectives",
        metavar="O",
        help="accuracy (default), or with macs, params: accuracy,macs searches the Pareto front",
    )
    add = parser.add_argument_group("how").add_argument
    add("--pruner", metavar="P", help="halving (default), median or none")
    add(
        "--time-limit",
        type=duration,
        metavar="T",
        help="begin no trial that would leave finalists and winner too little of T: 90s, 30m, 1h30m",
    )
    add("--recipe", help="training recipe by name (default fast)")
    add("--seed", type=seed, metavar="N", help="seed of proposals and trainings (default 0)")
    add("--device", choices=("auto", "cpu", "cuda", "mps"), help="default auto")
    add("--jobs", type=positive, metavar="N", help="networks that train at the same time (default 1)")
    add("--storage", metavar="URL", help="RDB of the study (default SQLite in the run folder)")
    add_place(parser, "runs/search", resume="continue a search; --trials may be raised")
    return parser.parse_args(arguments)


def duration(text: str) -> float:
    """Read a time as seconds: "90s", "30m", "1h30m"."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    if not (total := 3600 * hours + 60 * minutes + seconds):
        raise argparse.ArgumentTypeError(f"expected a time such as 90s, 30m or 1h30m, got {text!r}")
    return float(total)


def count(text: str) -> int:
    """Read a number of at least 1 that may end in k, M or G."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text.replace("_", "").replace(",", ""))
    number = float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]] if found else 0.0
    if number < 1 or number != int(number):
        raise argparse.ArgumentTypeError(f"expected a number such as 12000000 or 12M, got {text!r}")
    return int(number)
