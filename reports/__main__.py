"""`python -m reports`: pages, figures and comparisons, made from run folders and networks."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from reports.errors import ReportError

_MORE = """\
also:
  python -m reports compare A B ...   run folders and networks side by side
  python -m reports rf TARGET         the receptive-field explorer of a network, as one page

each has its own --help. A run folder that is called compare or rf is ./compare or ./rf.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 2 wrong usage or an input that cannot be read."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command, options = _parse(given)
    # torch takes seconds to import: only now, when the arguments are known to be sound.
    from rfcalc.errors import RfcalcError

    try:
        command(options)
    except (ReportError, RfcalcError) as error:
        sys.stderr.write(f"reports: error: {' '.join(str(error).split())}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parse(given: list[str]) -> tuple[Callable[[argparse.Namespace], None], argparse.Namespace]:
    if given[:1] == ["compare"]:
        parser = argparse.ArgumentParser(
            prog="python -m reports compare",
            description="Show run folders and networks side by side; two of them layer by layer, too.",
        )
        sides = "run folder, model.py, module:name, or a published network such as resnet20"
        parser.add_argument("sides", nargs="+", metavar="SIDE", help=f"{sides}; @CxHxW after it: its input")
        parser.add_argument("--input", metavar="CxHxW", help="input of networks that do not say (3x32x32)")
        parser.add_argument("--format", choices=("table", "md", "csv", "html"), default="table")
        parser.add_argument("--layers", action="store_true", help="the layers alone (exactly two sides)")
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="not to the terminal (html: default compare.html)"
        )
        return _compare, parser.parse_args(given[1:])
    if given[:1] == ["rf"]:
        parser = argparse.ArgumentParser(
            prog="python -m reports rf",
            description="Write the receptive-field explorer: which pixels each unit of each layer sees.",
        )
        target = "model.py, model.py:Name, package.module:name, a run folder, or a published network"
        parser.add_argument("target", help=target)
        parser.add_argument("--input", metavar="CxHxW", help="input size (the target's own, else 3x32x32)")
        parser.add_argument(
            "--image", type=Path, metavar="FILE", help="a photo to look at, cropped to the input's shape"
        )
        parser.add_argument(
            "--output", type=Path, default=Path("rf.html"), metavar="FILE", help="default: rf.html"
        )
        measure = "noise images to measure effective fields with; 0: closed form (as many as are soon done)"
        parser.add_argument("--erf-images", type=_images, metavar="N", help=measure)
        parser.add_argument("--figures", type=Path, metavar="DIR", help="also draw PNG and SVG there")
        return _explore, parser.parse_args(given[1:])
    parser = argparse.ArgumentParser(
        prog="python -m reports",
        description="Write report.html of a run folder and show its summary.",
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="runs/search/NAME or runs/train/NAME")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="where the page goes (FOLDER/report.html)"
    )
    figures = "draw figures into this folder, as PNG and SVG"
    parser.add_argument("--figures", type=Path, metavar="DIR", help=figures)
    return _report, parser.parse_args(given)


def _report(options: argparse.Namespace) -> None:
    from rich.console import Console

    from reports.pages.page import write_report
    from reports.runs import open_run
    from reports.tables.summary import show

    run = open_run(options.folder)
    if options.figures is not None:
        from reports.figures.paper import save_figures

        save_figures(run, options.figures)
    path = write_report(run, options.output)
    console = Console(highlight=False)
    show(run, console)
    console.print(f"{path} ({path.stat().st_size / 1000:,.0f} kB)", markup=False, soft_wrap=True)


def _compare(options: argparse.Namespace) -> None:
    from reports.pages.page import write_page
    from reports.tables import compare

    if options.layers and len(options.sides) != 2:
        raise ReportError(f"--layers compares two sides, got {len(options.sides)}")
    size = _size(options.input)
    sides = [compare.look(given, size) for given in options.sides]
    if options.format == "html":
        from reports.pages.compare_page import compare_page

        path = write_page(options.output or Path("compare.html"), compare_page(sides, options.layers))
        sys.stdout.write(f"{path} ({path.stat().st_size / 1000:,.0f} kB)\n")
        return
    tables = [] if options.layers else [compare.overview(sides)]
    # One CSV file holds one table; the others show the layers wherever there are two networks.
    if options.layers or (
        len(sides) == 2 and options.format != "csv" and all(side.analysis for side in sides)
    ):
        tables.append(compare.layers(*sides))
    if options.format == "table":
        text = _drawn([table.to_rich() for table in tables], wide=options.output is not None)
    else:
        text = "\n".join(
            table.to_markdown() if options.format == "md" else table.to_csv() for table in tables
        )
    if options.output is None:
        sys.stdout.write(text)
    else:
        write_page(options.output, text)


def _explore(options: argparse.Namespace) -> None:
    from reports.pages.explorer_page import explorer_page
    from reports.pages.page import write_page

    page = explorer_page(options.target, _size(options.input), options.image, options.erf_images)
    if options.figures is not None:
        from reports.figures.paper import save_network

        save_network(options.target, _size(options.input), options.figures)
    path = write_page(options.output, page)
    sys.stdout.write(f"{path} ({path.stat().st_size / 1000:,.0f} kB)\n")


def _size(text: str | None) -> tuple[int, ...] | None:
    from rfcalc.command.arguments import parse_size

    return None if text is None else parse_size(text)


def _images(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number of at least 0 is needed, got {text!r}")
    return int(text)


def _drawn(parts: Sequence[object], wide: bool) -> str:
    """Draw for the terminal, or at full width for a file."""
    from rich.console import Console

    console = Console(highlight=False, width=400 if wide else None)
    with console.capture() as drawn:
        for part in parts:
            console.print(part)
    return drawn.get()


if __name__ == "__main__":
    sys.exit(main())
