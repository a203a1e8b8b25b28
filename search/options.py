"""The command lines of `python -m search`, as data; read before anything slow is imported."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from records.flags import Command, Parsed, Program, argument, flag, switch
from records.layout import SEARCHES
from records.readers import natural, path, plain_name, positive, ratio, seed
from search.settings import CPU_MACS, STEP_LIMIT

EPILOG = """\
Every proposal is checked against the budget ([tool.rfcalc] in pyproject.toml) before any training. All
choices are made on validation images held out of train; the winner alone meets the test images, once.
Without --data, CIFAR-10 is used where it is present or can be downloaded, otherwise the built-in shapes.
Ctrl-C stops; the same command with --resume continues."""
OUT = SEARCHES
_ON_A_CPU = f"{CPU_MACS / 1e6:.0f}M"

_DATA, _STAGES = "data", "the stages (defaults depend on the device and the data)"
_SEARCHED, _HOW, _WHERE = "what is searched", "how", "where"


def duration(text: str) -> float:
    """Read a time as seconds: "90s", "30m", "1h30m"."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    if not (total := 3600 * hours + 60 * minutes + seconds):
        raise argparse.ArgumentTypeError(f"expected a time such as 90s, 30m or 1h30m, got {text!r}")
    return float(total)


def duration_or_none(text: str) -> float:
    """Read a time as `duration` does, or 0: not at all."""
    return 0.0 if text == "0" else duration(text)


def count(text: str) -> int:
    """Read a number of at least 1 that may end in k, M or G."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text.replace("_", "").replace(",", ""))
    number = float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]] if found else 0.0
    if number < 1 or number != int(number):
        raise argparse.ArgumentTypeError(f"expected a number such as 12000000 or 12M, got {text!r}")
    return int(number)


def ray_address(text: str) -> str:
    """Read the address of a Ray cluster that runs already."""
    if text != "auto" and not re.fullmatch(r"[^\s:/]+:\d{1,5}|\[[\da-fA-F:]+\]:\d{1,5}", text):
        raise argparse.ArgumentTypeError(f"expected HOST:PORT or auto, got {text!r}")
    return text


@dataclass(frozen=True)
class Options:
    """What a search can be asked for; None: it is decided by device, data set and the search to resume."""

    trials: int | None = flag(
        "candidates that fit the budget and are trained (default 50)", read=positive, metavar="N"
    )
    data: str | None = flag(
        "cifar10, cifar100, shapes, or a folder or archive of train/<class>/* and test/<class>/*",
        metavar="D",
        group=_DATA,
    )
    cache: Path | None = flag(
        "where decoded images are kept (default data/cache)", read=path, metavar="DIR", group=_DATA
    )
    resize: int | None = flag("bring every image to N x N pixels", read=positive, metavar="N", group=_DATA)
    epochs: int | None = flag("epochs of a trial", read=positive, metavar="N", group=_STAGES)
    subset: int | None = flag("training images of a trial", read=positive, metavar="N", group=_STAGES)
    finalists: int | None = flag(
        "best trials that are trained longer", read=positive, metavar="N", group=_STAGES
    )
    final_epochs: int | None = flag("epochs of a finalist", read=positive, metavar="N", group=_STAGES)
    final_subset: int | None = flag(
        "training images of a finalist", read=positive, metavar="N", group=_STAGES
    )
    final_seeds: int | None = flag(
        "runs of each finalist at most, two at least; they end when one is ahead by more than chance",
        read=positive,
        metavar="N",
        group=_STAGES,
    )
    winner_epochs: int | None = flag(
        "epochs of the winner, on train and validation together; 0 leaves its training to train.py",
        read=natural,
        metavar="N",
        group=_STAGES,
    )
    winner_time: float | None = flag(
        "give the winner fewer epochs, but no fewer than a finalist, where they would take longer than T "
        "(default on the built-in shapes: 1m15s, otherwise no limit)",
        read=duration,
        metavar="T",
        group=_STAGES,
    )
    presets: str | None = flag(
        "networks that are candidates: presets, spec.json files, run folders, or none (default: all presets "
        f"that fit; on a CPU those of at most {_ON_A_CPU} MACs)",
        metavar="NAMES",
        group=_STAGES,
    )
    start: str | None = flag(
        "networks that --sampler climb starts from, such as tiny,runs/search/NAME; another name of --presets",
        metavar="NAMES",
        group=_SEARCHED,
    )
    generation: int | None = flag(
        "children that --sampler climb trains in a generation (default 8, on a GPU 48)",
        read=positive,
        metavar="N",
        group=_SEARCHED,
    )
    max_step_time: float | None = flag(
        "turn children away whose training step takes longer than X times the best preset's (default "
        f"{STEP_LIMIT})",
        read=ratio,
        metavar="X",
        group=_SEARCHED,
    )
    limit: tuple[str, ...] = flag(
        "a limit in place of the project's: max-macs=40M, min-receptive-field=64; int8: networks with an "
        "int8 form alone, bytes counted in int8; may be given several times",
        default=(),
        repeated=True,
        metavar="NAME=VALUE",
        group=_SEARCHED,
    )
    space: str | None = flag(
        "around the presets (default), widths of a base network, full for the whole grammar, or a FILE.toml",
        metavar="S",
        group=_SEARCHED,
    )
    space_file: Path | None = flag(
        "TOML file that narrows the space", read=path, metavar="FILE", group=_SEARCHED
    )
    base: str | None = flag(
        "preset, spec.json or run folder whose widths are searched (default by device)",
        metavar="SPEC",
        group=_SEARCHED,
    )
    fill: bool = switch(
        "take widths as proposed; otherwise they are filled up to just under max-params",
        word="--no-fill",
        group=_SEARCHED,
    )
    max_macs: int | None = flag(
        "turn away networks of more MACs, 12M for instance (default with --space full on a CPU: "
        f"{_ON_A_CPU})",
        read=count,
        metavar="N",
        group=_SEARCHED,
    )
    sampler: str | None = flag(
        "climb (default), random-moves; in the other spaces tpe (default), random, nsga2, gp or evolution",
        metavar="S",
        group=_SEARCHED,
    )
    objectives: str | None = flag(
        "loss (default) or accuracy, or with macs, params, flash: loss,macs searches the Pareto front",
        metavar="O",
        group=_SEARCHED,
    )
    pruner: str | None = flag(
        "halving (default), median or none; in --space widths or full", metavar="P", group=_HOW
    )
    time_limit: float | None = flag(
        "time of the search without the winner's own training: 90s, 30m, 1h30m (default 30m, 10m on a GPU, "
        "8m on the built-in shapes)",
        read=duration,
        metavar="T",
        group=_HOW,
    )
    recipe: str | None = flag("training recipe by name (default fast)", group=_HOW)
    seed: int | None = flag("seed of proposals and trainings (default 0)", read=seed, metavar="N", group=_HOW)
    device: str | None = flag("default auto", choices=("auto", "cpu", "cuda", "mps"), group=_HOW)
    jobs: int | None = flag(
        "networks that train at the same time (default 1; with --sampler climb on a CPU one a core)",
        read=positive,
        metavar="N",
        group=_HOW,
    )
    threads: int | None = flag(
        "CPU threads of a training, on which its last digits depend (default: 1 with climb on up to 8 "
        "cores, otherwise what the jobs share)",
        read=positive,
        metavar="N",
        group=_HOW,
    )
    executor: str | None = flag(
        "where networks train: local (default), processes on this machine; ray, a Ray cluster",
        metavar="E",
        group=_HOW,
    )
    ray_address: str | None = flag(
        "with --executor ray: HOST:PORT of its head (default RAY_ADDRESS, or the one that runs here)",
        read=ray_address,
        metavar="A",
        group=_HOW,
    )
    cpus_per_job: int | None = flag(
        "with --executor ray: CPUs that a job takes (default its --threads, or 1)",
        read=positive,
        metavar="N",
        group=_HOW,
    )
    gpus_per_job: float | None = flag(
        "with --executor ray: GPUs that a job takes, 0.25 for instance (default 1 with --device cuda)",
        read=ratio,
        metavar="X",
        group=_HOW,
    )
    storage: str | None = flag(
        "RDB of the study (default SQLite in the run folder)", metavar="URL", group=_HOW
    )
    storage_wait: float | None = flag(
        "how long to wait for a database that is away, 0 for not at all (default 1m)",
        read=duration_or_none,
        metavar="T",
        group=_HOW,
    )
    out: Path = flag("folder of the searches", default=OUT, read=path, metavar="DIR", group=_WHERE)
    name: str | None = flag(
        "folder below --out (default: date and time; with --resume the newest)", read=plain_name, group=_WHERE
    )
    resume: bool = switch("continue a search; --trials may be raised", group=_WHERE)
    debug: bool = switch("show the traceback of an error", group=_WHERE)


@dataclass(frozen=True)
class ShowOptions:
    """What `show` can be asked for."""

    name: str | None = argument("folder below --out (default the newest)", default=None, metavar="NAME")
    out: Path = flag("folder of the searches", default=OUT, read=path, metavar="DIR")
    debug: bool = switch("show the traceback of an error")


@dataclass(frozen=True)
class ReplayOptions:
    """What `replay` can be asked for."""

    name: str = argument("folder of the search below --out", metavar="NAME")
    trial: int = argument("number of the trial", read=natural, metavar="TRIAL")
    finalist: bool = switch("its longer run as a finalist")
    out: Path = flag("folder of the searches", default=OUT, read=path, metavar="DIR")
    debug: bool = switch("show the traceback of an error")


PROGRAM = Program(
    "search",
    {
        "": Command(Options, "Find, train and explain the best small network that fits the budget.", EPILOG),
        "show": Command(ShowOptions, "Print the state of a search, while it runs or afterwards."),
        "replay": Command(
            ReplayOptions, "Train one trial again and compare every epoch; exit code 1 where they differ."
        ),
    },
    prog="python -m search",
)


def parse(words: Sequence[str]) -> Parsed:
    """Read the command line; a mistake is one line on stderr and exit code 2."""
    return PROGRAM.parse(words)


def parse_search(words: Sequence[str]) -> Options:
    """Read the command line of a search."""
    options = parse(words).options
    assert isinstance(options, Options)
    return options
