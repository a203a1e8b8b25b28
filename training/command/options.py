"""The command line of train.py; read before anything slow is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from records.flags import Command, Parsed, Program, flag, plain_name, switch, word_of
from records.settings import RunSettings

OUT = Path("runs/train")
"""Folder of the runs unless `--out` names another."""
_MODES_GROUP, _WHERE = "instead of training (one of)", "where"
_EPILOG = """\
Ctrl-C stops; the same command with --resume continues.

  python train.py --preset residual --data cifar10 --full
  python train.py --evaluate runs/train/NAME --split test --tta
  python train.py --predict cat.png dog.jpg --weights runs/train/NAME
  python train.py --show-augmentation --policy strong --output sheet.png
  python train.py --recipe standard --set lr=0.05 --print-recipe
  python train.py --from runs/train/NAME --name again"""


@dataclass(frozen=True)
class Options(RunSettings):
    """The options of train.py: the settings of a run, the modes, and the place of the run."""

    evaluate: Path | None = flag(
        "judge a run or its best.safetensors", metavar="RUN", group=_MODES_GROUP, exclusive="mode"
    )
    predict: tuple[Path, ...] = flag(
        "classify images", default=(), metavar="IMAGE", group=_MODES_GROUP, exclusive="mode"
    )
    show_augmentation: bool = switch("draw augmented images", group=_MODES_GROUP, exclusive="mode")
    list_presets: bool = switch(
        "list the networks that have names, with their figures", group=_MODES_GROUP, exclusive="mode"
    )
    print_recipe: bool = switch(
        "print the recipe with all changes, as --recipe FILE.json takes it",
        group=_MODES_GROUP,
        exclusive="mode",
    )
    weights: Path | None = flag(
        "for --predict: a run or its best.safetensors", metavar="FILE", group=_MODES_GROUP
    )
    split: str | None = flag(
        "for --evaluate (default: what the run reports)", choices=("validation", "test"), group=_MODES_GROUP
    )
    tta: bool = switch("for --evaluate: also with mirror images, reported apart", group=_MODES_GROUP)
    output: Path = flag(
        "of --show-augmentation", default=Path("augmentation.png"), metavar="PNG", group=_MODES_GROUP
    )
    out: Path = flag("folder of the runs", default=OUT, metavar="DIR", group=_WHERE)
    name: str | None = flag(
        "folder below --out (default: date and time; with --resume the newest)", read=plain_name, group=_WHERE
    )
    resume: bool = switch("continue a run; its own flags hold", group=_WHERE)
    debug: bool = switch("show the traceback of an error", group=_WHERE)


_NOT_TRAINING = frozenset({"weights", "split", "tta", "output"})
_MODES: dict[str, set[str]] = {
    "evaluate": {"data", "cache", "resize", "skip_unreadable", "device", "model", "split", "tta"},
    "predict": {"weights", "device", "model"},
    "list_presets": set(),
    "print_recipe": {"recipe", "changes", "epochs", "policy", "balance", "augment", "compile", "device"},
    "show_augmentation": {"data", "cache", "resize", "skip_unreadable", "recipe", "policy", "seed", "output"},
    "repeat": {
        *("data", "cache", "resize", "skip_unreadable", "seed", "device", "workers"),
        *("deterministic", "tensorboard", "out", "name", "resume"),
    },
}
"""Modes that do not train anew, and the flags that each of them takes."""


def parse(words: Sequence[str]) -> Parsed:
    """Read the flags; `options` of what is returned is an `Options`.

    Raises:
        SystemExit: For `--help`, and for a mistake (code 2, one line on stderr).
    """
    command = Command(
        Options, "Train one network, evaluate it, and write runs/train/<name>/.", _EPILOG, _wrong
    )
    program = Program("train.py", {"": command}, prog="python train.py", way_out=" (--help lists the flags)")
    return program.parse(words)


def word(name: str) -> str:
    """Return the flag that fills the option `name`."""
    return word_of(Options, name)


def _wrong(parsed: Parsed) -> str | None:
    """Name a flag that would be passed over in silence, or one that is missing."""
    mode = next((mode for mode in _MODES if mode in parsed.given), None)
    wrong = (
        parsed.given - _MODES[mode] - {mode, "debug"} if mode is not None else parsed.given & _NOT_TRAINING
    )
    if wrong:
        where = f"with {word(mode)}" if mode is not None else "in a training"
        return f"{word(min(wrong))} means nothing {where}"
    if "arguments" in parsed.given and not parsed.given & {"model", "preset", "resume"}:
        return "--arg needs --model or --preset: the class or function that takes it"
    if {"arguments", "pretrained"} <= parsed.given:
        return "--arg means nothing with --pretrained"
    if mode == "predict" and "weights" not in parsed.given:
        return "--predict needs --weights: the folder of a run, or its best.safetensors"
    return None
