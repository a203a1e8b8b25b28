"""The command line of train.py; parsed before anything slow is imported."""

from __future__ import annotations

import argparse
from pathlib import Path

from records.flags import OneLineParser, add_place, natural, positive, seed
from training.fit.recipe import POLICIES

EPILOG = """\
Ctrl-C stops; the same command with --resume continues.

  python train.py --preset residual --data cifar10 --full
  python train.py --evaluate runs/train/NAME --split test --tta
  python train.py --predict cat.png dog.jpg --weights runs/train/NAME
  python train.py --show-augmentation --policy strong --output sheet.png
  python train.py --from runs/train/NAME --name again"""

_NOT_TRAINING = frozenset({"weights", "split", "tta", "output"})
_MODES = {
    "evaluate": {"data", "cache", "resize", "device", "model", "split", "tta"},
    "predict": {"weights", "device", "model"},
    "show_augmentation": {"data", "cache", "resize", "recipe", "policy", "seed", "output"},
    "repeat": {
        *("data", "cache", "resize", "seed", "device", "workers"),
        *("deterministic", "tensorboard", "out", "name", "resume"),
    },
}
"""What does not train anew, and the flags that mean something there."""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the arguments; a mistake prints one line to stderr and exits with 2."""
    parser = OneLineParser(
        who="train.py",
        way_out=" (--help lists the flags)",
        prog="train.py",
        usage="python train.py [flags]",
        description="Train one network, evaluate it, and write runs/train/<name>/.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_network(parser)
    _add_data(parser)
    _add_training(parser)
    _add_modes(parser)
    add_place(parser, "runs/train", resume="continue a run; its own flags hold")
    options = parser.parse_args(arguments)
    _check(parser, options)
    return options


def _add_network(parser: argparse.ArgumentParser) -> None:
    network = parser.add_argument_group("network (one of)").add_mutually_exclusive_group()
    network.add_argument(
        "--preset",
        metavar="NAME",
        help="tiny (default), residual (default on a GPU), transposed, wide, or a published network: "
        "resnet8, resnet20, cifar10_transpose, ...",
    )
    network.add_argument("--spec", type=Path, metavar="FILE", help="a spec.json")
    network.add_argument("--model", metavar="TARGET", help="model.py, model.py:Name or package.module:name")
    network.add_argument(
        "--from",
        dest="repeat",
        type=Path,
        metavar="RUN",
        help="repeat a run by its run.json: network, recipe, data, seed",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
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


def _add_training(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("training").add_argument
    add("--recipe", help="fast, standard, record, or a recipe.json (default fast)")
    add("--epochs", type=positive, metavar="N", help="instead of the recipe's")
    add("--policy", help=f"augmentation instead of the recipe's: {', '.join(POLICIES)}")
    add("--seed", type=seed, metavar="N", help="of weights, shuffling and augmentation (default 0)")
    add("--teacher", type=Path, metavar="RUN", help="learn from a trained network too: a run or its weights")
    add("--device", choices=("auto", "cpu", "cuda", "mps"), help="default auto")
    add(
        "--workers",
        type=natural,
        metavar="N",
        help="threads of the CPU that augment ahead (default: none where it also trains, else 4)",
    )
    add("--augment", choices=("auto", "cpu", "gpu"), help="where images are augmented (default auto)")
    add(
        "--compile",
        choices=("auto", "off", "on", "graphs"),
        help="torch.compile or CUDA graphs (default auto: where it pays)",
    )
    add("--deterministic", action="store_true", default=None, help="the same bits at every run, slower")
    add("--tensorboard", action="store_true", default=None, help="log for TensorBoard, too")


def _add_modes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("instead of training (one of)")
    mode = group.add_mutually_exclusive_group()
    mode.add_argument("--evaluate", type=Path, metavar="RUN", help="judge a run or its best.safetensors")
    mode.add_argument("--predict", type=Path, nargs="+", metavar="IMAGE", help="say what is in images")
    mode.add_argument("--show-augmentation", action="store_true", default=None, help="draw augmented images")
    add = group.add_argument
    add("--weights", type=Path, metavar="FILE", help="for --predict: a run or its best.safetensors")
    add("--split", choices=("validation", "test"), help="for --evaluate (default: what the run reports)")
    add(
        "--tta", action="store_true", default=None, help="for --evaluate: also with mirror images, told apart"
    )
    add("--output", type=Path, metavar="PNG", help="of --show-augmentation (default augmentation.png)")


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse flags that would be passed over in silence."""
    given = {key for key, value in vars(options).items() if value != parser.get_default(key)}
    mode = next((mode for mode in _MODES if mode in given), None)
    wrong = given - _MODES[mode] - {mode, "debug"} if mode else given & _NOT_TRAINING
    if wrong:
        where = f"with {flag(mode)}" if mode else "in a training"
        parser.error(f"{flag(min(wrong))} means nothing {where}")
    if mode == "predict" and options.weights is None:
        parser.error("--predict needs --weights: the folder of a run, or its best.safetensors")


def flag(key: str) -> str:
    """Return the flag that fills `key` of the namespace."""
    return "--from" if key == "repeat" else "--" + key.replace("_", "-")
