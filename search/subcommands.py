"""The command lines of `python -m search show` and `replay`; parsed before anything slow is imported."""

import argparse
from pathlib import Path

from records.flags import natural


def parse_show(arguments: list[str]) -> argparse.Namespace:
    """Parse the arguments of `show`."""
    parser = argparse.ArgumentParser(
        prog="python -m search show", description="Print how a search stands, while it runs or afterwards."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="folder below --out (default the newest)")
    parser.add_argument("--out", type=Path, default=Path("runs/search"), metavar="DIR")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(arguments)


def parse_replay(arguments: list[str]) -> argparse.Namespace:
    """Parse the arguments of `replay`."""
    parser = argparse.ArgumentParser(
        prog="python -m search replay",
        description="Train one trial again and compare every epoch; exit code 1 where they differ.",
    )
    parser.add_argument("name", metavar="NAME", help="folder of the search below --out")
    parser.add_argument("trial", type=natural, metavar="TRIAL", help="its number")
    parser.add_argument("--finalist", action="store_true", help="its longer run as a finalist")
    parser.add_argument("--out", type=Path, default=Path("runs/search"), metavar="DIR")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser.parse_args(arguments)
