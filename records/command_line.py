"""Settings of runs whose run.json has schema 1, which kept them as the text of a command line alone.

Nothing else parses such a text. The flags are those of train.py and of the search at that time, and stay so.
"""

import argparse
import shlex
from typing import Any

_TEXTS = ("preset", "spec", "model", "data", "cache", "recipe", "policy", "teacher")
_CHOSEN = ("device", "augment", "compile")
_NUMBERS = ("resize", "subset", "epochs", "seed", "workers")
_SWITCHES = ("full", "deterministic", "tensorboard")
_OF_A_SEARCH = ("data", "cache", "resize")
"""What a search's winner has of its search's flags: the others name trials and stages."""


def settings_of_command(command: str | None) -> dict[str, Any] | None:
    """Return the settings that a command line sets, by their names in RunSettings.

    Args:
        command: "python train.py --preset tiny ..." or "python -m search ...".

    Returns:
        None where it is no such command line.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for name in (*_TEXTS, *_CHOSEN):
        parser.add_argument(f"--{name}")
    parser.add_argument("--from", dest="repeat")
    for name in _NUMBERS:
        parser.add_argument(f"--{name}", type=int)
    for name in _SWITCHES:
        parser.add_argument(f"--{name}", action="store_true")
    parser.error = _refuse  # type: ignore[method-assign, assignment]
    try:
        words = shlex.split(command or "")
        found = vars(parser.parse_known_args(words[2:])[0])
    except ValueError:
        return None
    if words[1:3] == ["-m", "search"]:
        return {name: found[name] for name in _OF_A_SEARCH if name in found}
    return found


def _refuse(message: str) -> None:
    raise ValueError(message)
