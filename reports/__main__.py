"""`python -m reports`: pages, figures and comparisons, made from run folders and networks."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from records.flags import Command, Parsed, Program, argument, flag, natural, switch
from records.program import run

if TYPE_CHECKING:
    from reports.tables.table import Table

_NAMES = "a run folder that is called compare or rf is ./compare or ./rf"
_INPUT = "CxHxW"
_WIDEST = 400
"""Characters in a line of a file."""


@dataclass(frozen=True)
class PageOptions:
    """What `python -m reports FOLDER` is asked for."""

    folder: Path = argument("runs/search/NAME or runs/train/NAME")
    output: Path | None = flag("where the page goes (default FOLDER/report.html)", metavar="FILE")
    figures: Path | None = flag("draw figures into this folder, as PNG and SVG", metavar="DIR")


@dataclass(frozen=True)
class CompareOptions:
    """What `python -m reports compare` is asked for."""

    sides: tuple[str, ...] = argument(
        "run folder, model.py, module:name, or a published network such as resnet20; @CxHxW after it: its "
        "input",
        metavar="SIDE",
    )
    input: str | None = flag("input of networks that name none (default 3x32x32)", metavar=_INPUT)
    format: str = flag("of what is written", default="table", choices=("table", "md", "csv", "html"))
    layers: bool = switch("the layers alone (exactly two sides)")
    output: Path | None = flag("not to the terminal (html: default compare.html)", metavar="FILE")


@dataclass(frozen=True)
class ExplorerOptions:
    """What `python -m reports rf` is asked for."""

    target: str = argument(
        "model.py, model.py:Name, package.module:name, a run folder, or a published network"
    )
    input: str | None = flag("input size (default: the target's own, else 3x32x32)", metavar=_INPUT)
    image: Path | None = flag("a photo to look at, cropped to the input's shape", metavar="FILE")
    output: Path = flag("where the page goes", default=Path("rf.html"), metavar="FILE")
    erf_images: int | None = flag(
        "noise images to measure effective fields with; 0: closed form (default: as many as are soon done)",
        read=natural,
        metavar="N",
    )
    figures: Path | None = flag("also draw PNG and SVG there", metavar="DIR")


PROGRAM = Program(
    "reports",
    {
        "": Command(PageOptions, "Write report.html of a run folder and show its summary.", _NAMES),
        "compare": Command(
            CompareOptions,
            "Show run folders and networks side by side; two of them layer by layer, too.",
            check=lambda parsed: _unequal(parsed.options),
        ),
        "rf": Command(
            ExplorerOptions, "Write the receptive-field explorer: which pixels each unit of each layer sees."
        ),
    },
    prog="python -m reports",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 done, 2 wrong usage or an input that cannot be read."""
    parsed = PROGRAM.parse(sys.argv[1:] if arguments is None else arguments)
    # torch takes seconds to import: only now, when the arguments are known to be sound.
    from rfcalc import RfcalcError

    return run("reports", lambda: _perform(parsed), known=(RfcalcError,))


def _perform(parsed: Parsed) -> None:
    match parsed.options:
        case CompareOptions() as options:
            _compare(options)
        case ExplorerOptions() as options:
            _explore(options)
        case PageOptions() as options:
            _report(options)


def _unequal(options: CompareOptions) -> str | None:
    """Return what is wrong with `--layers`, if anything."""
    if options.layers and len(options.sides) != 2:
        return f"--layers compares two sides, got {len(options.sides)}"
    return None


def _report(options: PageOptions) -> None:
    from records.next_steps import after_report, shown
    from records.terminal import make_console
    from reports.pages.page import write_report
    from reports.runs import open_run
    from reports.tables.summary import show
    from reports.targets import explorable

    opened = open_run(options.folder)
    if options.figures is not None:
        from reports.figures.paper import save_figures

        save_figures(opened, options.figures)
    path = write_report(opened, options.output)
    console = make_console()
    show(opened, console)
    console.print(_written(path), markup=False, soft_wrap=True)
    if steps := after_report(explorable(opened)):
        console.print(shown(steps), markup=False, highlight=False, soft_wrap=True)


def _compare(options: CompareOptions) -> None:
    from records.next_steps import after_comparison, after_comparison_page, shown
    from reports.pages.page import write_page
    from reports.tables import compare

    size = _size(options.input)
    sides = [compare.look(given, size) for given in options.sides]
    if options.format == "html":
        from reports.pages.compare_page import compare_page

        path = write_page(options.output or Path("compare.html"), compare_page(sides, options.layers))
        side = next((side.name for side in sides if side.analysis), None)
        text = shown(after_comparison_page(side, options.input))
        sys.stdout.write(f"{_written(path)}\n" + (f"{text}\n" if text else ""))
        return
    # Each in its forms, the widest first.
    tables: list[tuple[Table, ...]] = [] if options.layers else [(compare.overview(sides),)]
    # One CSV file holds one table; the others show the layers wherever there are two networks.
    if options.layers or (
        len(sides) == 2 and options.format != "csv" and all(side.analysis for side in sides)
    ):
        tables.append((compare.layers(*sides), compare.layers_below(*sides)))
    if options.format == "table":
        text = _drawn(tables, wide=options.output is not None)
    else:
        text = "\n".join(
            table.to_markdown() if options.format == "md" else table.to_csv() for table, *_ in tables
        )
    if options.output is None:
        steps = after_comparison(options.sides, size=options.input, layers=options.layers)
        end = f"{shown(steps)}\n" if options.format == "table" else ""
        sys.stdout.write(text + end)
    else:
        write_page(options.output, text)


def _explore(options: ExplorerOptions) -> None:
    from records.next_steps import after_explorer, shown
    from reports.pages.explorer_page import explorer_page
    from reports.pages.page import check_place, write_page
    from reports.progress import progress

    check_place(options.output)
    with progress("reports: ") as note:
        size = _size(options.input)
        page = explorer_page(options.target, size, options.image, options.erf_images, note)
    if options.figures is not None:
        from reports.figures.paper import save_network

        save_network(options.target, _size(options.input), options.figures)
    path = write_page(options.output, page)
    sys.stdout.write(f"{_written(path)}\n{shown(after_explorer(options.target, options.input))}\n")


def _written(path: Path) -> str:
    """Return where a page is, and its size; a pipe or a device has none."""
    return f"{path} ({path.stat().st_size / 1000:,.0f} kB)" if path.is_file() else str(path)


def _size(text: str | None) -> tuple[int, ...] | None:
    from rfcalc import parse_size

    return None if text is None else parse_size(text)


def _drawn(tables: "Sequence[Sequence[Table]]", wide: bool) -> str:
    """Draw for the terminal, each table in the first of its forms that fits, or at full width for a file."""
    from rich.console import Console

    console = Console(highlight=False, width=_WIDEST if wide else None)
    with console.capture() as drawn:
        for forms in tables:
            found = [form.to_rich() for form in forms]
            # Measured without the terminal's limit, which a table would fold its cells to keep.
            free = console.options.update(width=_WIDEST)
            fit = (each for each in found if console.measure(each, options=free).maximum <= console.width)
            console.print(next(fit, found[-1]))
    return drawn.get()


if __name__ == "__main__":
    sys.exit(main())
