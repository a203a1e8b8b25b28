"""Draw the figures of the README from the folder of a finished search.

    python docs/figures/make.py runs/search/NAME

Three figures, each as SVG and PNG: accuracy against MACs with the Pareto front, the learning curves of
all trials, and how the winner's receptive field grows. `python -m reports NAME --figures DIR` draws the same
and more. A search on the built-in shapes is refused: the README shows real images.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

NAMES = ("search-accuracy", "search-learning-curves", "winner-receptive-field")


def main(arguments: list[str] | None = None) -> int:
    """Draw them; return 0, or 2 for a folder that has no such figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="runs/search/NAME, finished, on real images")
    parser.add_argument("--output", type=Path, default=HERE, metavar="DIR", help="default: docs/figures")
    options = parser.parse_args(arguments)

    from reports.errors import ReportError
    from rfcalc import RfcalcError

    try:
        _draw(options.folder, options.output)
    except (ReportError, RfcalcError, OSError) as error:
        sys.stderr.write(f"make.py: error: {' '.join(str(error).split())}\n")
        return 2
    return 0


def _draw(folder: Path, output: Path) -> None:
    from reports import targets
    from reports.errors import ReportError
    from reports.figures.paper import save_growth
    from reports.figures.search import save_accuracy, save_learning_curves
    from reports.runs import open_search

    run = open_search(folder)
    data, winner = run.record.dataset, run.record.winner
    if data.kind == "shapes":
        raise ReportError(f"{folder} is a search on shapes; the README shows one on real images")
    analysis = targets.measure(targets.resolve(str(folder)))
    title = f"the winner, trial {winner} of {run.record.name}"
    for suffix in (".svg", ".png"):
        places = [output / f"{name}{suffix}" for name in NAMES]
        save_accuracy(places[0], run.scored, "macs", winner, data.title)
        save_learning_curves(places[1], run.scored, winner, data.title)
        save_growth(places[2], analysis, title)
        sys.stdout.writelines(f"{place}\n" for place in places)


if __name__ == "__main__":
    sys.exit(main())
