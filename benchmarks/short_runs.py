"""What the benchmarks of the search share: short trainings as a trial's, and a JSON that grows with them.

A training goes through `search.execute.worker.run`, the very function that trains a trial, in this process
and with all of torch's threads. Whatever has ended is in the JSON: a benchmark that is killed goes on where
it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import rfcalc
from models.errors import SpecError
from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec
from records.codec import RecordError
from records.environment import describe
from records.files import write_json
from records.flags import natural, positive
from search.errors import SearchError
from search.execute import worker
from search.execute.job import DataRequest, Job, Outcome
from search.propose.limits import limited, project_budget
from search.propose.space import Space, WidthSpace
from search.propose.space_full import FullSpace
from search.settings import CPU_MACS
from training.data import registry as datasets
from training.data.registry import Dataset, holdout
from training.data.samples import Samples
from training.errors import TrainingError
from training.fit.device import resolve, settle
from training.fit.loop import fit
from training.fit.recipe import RECIPES, Recipe

PROBE_BATCHES = 6
VALIDATION_COST = 0.3
"""Seconds of judging an image, in seconds of training on one."""
STOPPED = 130
"""Exit code after Ctrl-C."""


class BenchError(Exception):
    """The benchmark cannot be run as asked; one line says why."""


def add_flags(parser: argparse.ArgumentParser, output: str) -> None:
    """Add the flags that these benchmarks share."""
    add = parser.add_argument
    add("--data", default="cifar10", help="as of python -m search (default cifar10)")
    add("--cache", type=Path, default=Path("data/cache"), help="where decoded images are kept")
    add("--images", type=positive, default=5000, help="training images of a run (default 5000)")
    add("--seeds", type=natural, nargs="+", default=[0, 1, 2], help="one repetition each (default 0 1 2)")
    add("--space", choices=("widths", "full"), default="full", help="as of python -m search (default full)")
    add("--base", choices=sorted(PRESETS), default="tiny", help="whose widths --space widths has")
    add("--max-macs", type=positive, help="limit on MACs (default with --space full on a CPU: 20,000,000)")
    add("--recipe", choices=sorted(RECIPES), default="fast", help="how networks are trained (default fast)")
    add("--device", default="auto", help="auto, cpu, cuda or mps")
    add("--output", type=Path, default=Path(output), help=f"JSON that grows, and is gone on with ({output})")
    add("--report", action="store_true", help="train nothing, print the tables of --output")


@dataclass(frozen=True)
class Bench:
    """Trains networks as trials are trained."""

    data: str
    cache: Path
    dataset: Dataset
    device: str
    recipe: Recipe
    """Precision and layout are settled; the epochs are those of each run."""
    images: int

    @property
    def input_size(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return (3, *self.dataset.image_size)

    def train(self, spec: NetSpec, epochs: int, seed: int) -> Outcome:
        """Train `spec` and judge it on the validation split after each epoch."""
        job = Job(
            number=0,
            attempt=1,
            spec=spec.to_json(),
            recipe=replace(self.recipe, epochs=epochs).to_json(),
            seed=seed,
            data=DataRequest(self.data, str(self.cache), None, self.images, 0),
        )
        return worker.run(job, self.device, lambda epoch: True)

    def epoch_seconds(self, specs: Sequence[NetSpec]) -> float:
        """Measure the mean seconds of an epoch of `specs`, validation included, by a few batches of each."""
        train, validation = holdout(self.dataset.train.labels)
        probe = Samples.of(self.dataset.train, train[: PROBE_BATCHES * self.recipe.batch_size], self.dataset)
        seconds = 0.0
        for spec in specs:
            torch.manual_seed(0)
            history = fit(
                build(spec), probe, None, replace(self.recipe, epochs=2), seed=0, device=self.device
            )
            seconds += history.epochs[-1].seconds / len(
                probe
            )  # the first one also warms up caches and threads
        return seconds / len(specs) * (self.images + VALIDATION_COST * len(validation))


@dataclass
class Book:
    """The JSON file of a benchmark."""

    path: Path
    content: dict[str, Any]

    @classmethod
    def read(cls, path: Path, benchmark: str) -> Book | None:
        """Return the book in `path`; None: there is none yet.

        Raises:
            BenchError: The file is something else.
        """
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BenchError(f"--output {path}: is not JSON ({error}); choose another file") from error
        if not isinstance(content, dict) or content.get("benchmark") != benchmark:
            raise BenchError(f"--output {path}: was not written by {benchmark}; choose another file")
        return cls(path, content)

    def check(self, facts: Mapping[str, Any]) -> None:
        """Refuse to add runs under `facts` to those of other facts.

        Raises:
            BenchError: With each fact that differs.
        """
        known = self.content["facts"]
        differs = [
            f"{name} was {known.get(name)}, now {value}"
            for name, value in facts.items()
            if known.get(name) != value
        ]
        if differs:
            raise BenchError(f"--output {self.path}: {'; '.join(differs)}; choose another file")

    def write(self) -> None:
        """Write the file, whole."""
        write_json(self.path, self.content)


def stored(path: Path, benchmark: str) -> Book:
    """Return the book in `path`, which must be there.

    Raises:
        BenchError: It is not, or is something else.
    """
    book = Book.read(path, benchmark)
    if book is None:
        raise BenchError(f"--report: there is no {path} yet; leave the flag out to write it")
    return book


def open_bench(
    options: argparse.Namespace, benchmark: str, own_facts: Mapping[str, Any], console: Console
) -> tuple[Bench, Book]:
    """Load the data, settle the recipe, and open the book: a new one, or one to go on with.

    `options.max_macs` gets its default here, which depends on the device.

    Raises:
        BenchError: The book belongs to other data, another space or another budget.
        TrainingError: The data or the device cannot be used.
    """
    book = Book.read(options.output, benchmark)
    where = resolve(options.device)
    if options.max_macs is None and options.space == "full" and where.type == "cpu":
        options.max_macs = CPU_MACS
    dataset = datasets.load(options.data, cache=options.cache, console=console)
    height, width = dataset.image_size
    recipe = RECIPES[options.recipe]
    train, _ = holdout(dataset.train.labels)
    images = min(options.images, len(train))
    if images < recipe.batch_size:
        raise BenchError(
            f"--images {images}: fewer than one batch of recipe {recipe.name!r}, {recipe.batch_size}"
        )
    facts = {
        "data": dataset.title,
        "fingerprint": dataset.fingerprint,
        "notice": dataset.notice,
        "input_size": [3, height, width],
        "classes": len(dataset.classes),
        "images": images,
        "space": options.space,
        "base": options.base if options.space == "widths" else None,
        "max_macs": options.max_macs,
        "recipe": recipe.name,
        "device": where.type,
        **own_facts,
    }
    if book is None:
        settled = settle(recipe, build(presets(facts)[options.base]), dataset.image_size, where)
        facts |= {"precision": settled.precision, "layout": settled.layout}
        book = Book(options.output, {"benchmark": benchmark, "schema": 1, "facts": facts, "environments": []})
    else:
        book.check(facts)
    # Each session's: it may go on at another commit, or beside other programs.
    environment = asdict(describe(where.type))
    if environment not in book.content["environments"]:
        book.content["environments"].append(environment)
    known = book.content["facts"]
    recipe = replace(recipe, precision=known["precision"], layout=known["layout"])
    kept = datasets.kept_name(dataset.kind, options.data) or options.data
    return Bench(kept, options.cache, dataset, where.type, recipe, images), book


def presets(facts: Mapping[str, Any]) -> dict[str, NetSpec]:
    """Return the presets for the images and classes of a book."""
    size, classes = tuple(facts["input_size"]), facts["classes"]
    return {name: replace(spec, input_size=size, classes=classes) for name, spec in PRESETS.items()}


def make_spaces(facts: Mapping[str, Any]) -> tuple[rfcalc.Budget, dict[bool, Space]]:
    """Return the budget and the space of a book: as it is, and (True) with widths filled up to the limit.

    Raises:
        BenchError: The budget has no limit on parameters.
    """
    budget = limited(project_budget(), facts["max_macs"])
    if budget.max_params is None:
        raise BenchError("[tool.rfcalc] has no max-params, so there is nothing to fill up to")

    def space(max_params: int | None) -> Space:
        if facts["space"] == "full":
            return FullSpace(tuple(facts["input_size"]), facts["classes"], max_params)
        return WidthSpace(presets(facts)[facts["base"]], max_params)

    return budget, {True: space(budget.max_params), False: space(None)}


@dataclass(frozen=True)
class Sheet:
    """A table, for a screen and for a document."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """The first cell is a name, the others are numbers."""

    def table(self) -> Table:
        """Return it for a screen."""
        table = Table(title=self.title, title_justify="left")
        for number, name in enumerate(self.header):
            table.add_column(name, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> Iterator[str]:
        """Yield the lines of it as Markdown."""
        yield f"{self.title}:"
        yield ""
        yield f"| {' | '.join(self.header)} |"
        yield f"|---{'|---:' * (len(self.header) - 1)}|"
        for row in self.rows:
            yield f"| {' | '.join(row)} |"
        yield ""


def show(sheets: Sequence[Sheet], console: Console) -> None:
    """Print tables, and then the same as Markdown."""
    for sheet in sheets:
        console.print(sheet.table())
    for sheet in sheets:
        for line in sheet.markdown():
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def conditions(content: Mapping[str, Any]) -> str:
    """Return one line on how the runs of a book were made."""
    facts, environment = content["facts"], content["environments"][-1]
    space = facts["space"] + (f" of {facts['base']}" if facts["base"] else "")
    limit = f", at most {facts['max_macs']:,} MACs" if facts["max_macs"] else ""
    return (
        f"{facts['data']}; {facts['images']:,} training images a run, recipe {facts['recipe']}, "
        f"{facts['precision']}; space {space}{limit}; "
        f"{environment['hardware']}, {environment['threads']} threads, "
        f"torch {environment['versions']['torch']}, "
        f"commit {(environment['git_commit'] or 'unknown')[:7]}"
    )


def minutes(seconds: float) -> str:
    """Return a duration for people."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share in percent; the unit is in the header of the table."""
    return "-" if share is None else f"{100 * share:.{digits}f}"


def guarded(work: Callable[[], int]) -> int:
    """Run a benchmark; what its user can mend is one line on standard error and exit code 2."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        return work()
    except KeyboardInterrupt:
        errors.print("stopped; the same command goes on from here", style="yellow")
        return STOPPED
    except (BenchError, SearchError, TrainingError, SpecError, RecordError, OSError) as error:
        errors.print(f"{Path(sys.argv[0]).name}: error: {error}", style="red", markup=False)
        return 2
