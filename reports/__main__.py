"""`python -m reports`: the page of a run folder and its summary in the terminal."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 2 wrong usage or an input that cannot be read."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    # Imports that take time come after the arguments are known to be sound.
    from reports.errors import ReportError

    try:
        return _report(options)
    except ReportError as error:
        sys.stderr.write(f"reports: error: {' '.join(str(error).split())}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reports",
        description="Write report.html of a run folder and show its summary.",
    )
    parser.add_argument("folder", type=Path, help="runs/search/NAME or runs/train/NAME")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="where the page goes (FOLDER/report.html)"
    )
    return parser


def _report(options: argparse.Namespace) -> int:
    from rich.console import Console

    from reports.page import write_report
    from reports.runs import open_run
    from reports.summary import show

    run = open_run(options.folder)
    path = write_report(run, options.output)
    console = Console(highlight=False)
    show(run, console)
    console.print(f"{path} ({path.stat().st_size / 1000:,.0f} kB)", markup=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
