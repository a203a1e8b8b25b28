"""From the command line to a search that can start: its folder, its settings, its data, its base network."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

import rfcalc
from models.net import build
from models.spec import NetSpec
from records.flags import word_of
from records.search import ScreeningRecord, SearchRecord
from records.text import unknown
from search.errors import SearchError
from search.execute.executors import DEFAULT, cluster
from search.execute.protocol import Executor
from search.execute.worker import Share, Work
from search.execute.worker import run as train
from search.keep import folder as folders
from search.keep.folder import RunFolder
from search.keep.storage import reach, release
from search.options import Options
from search.propose.around import AROUND
from search.propose.choosing import Choice, choose, make_space, narrowed
from search.propose.gate import Gate
from search.propose.limits import limited, project_budget
from search.propose.rivals import NONE, given, rivals
from search.propose.screening import check_base, screen
from search.propose.space import Space, WidthSpace
from search.propose.starts import FIRST, starts
from search.propose.target import spec_named
from search.session.reach import moves, placement, reached, usual_jobs
from search.session.resumed import resumed
from search.settings import (
    CPU_MACS,
    GENERATIONS,
    SHAPES_WINNER_TIME,
    STAGES,
    STEP_LIMIT,
    STORAGE_WAIT,
    Settings,
    defaults,
    time_limit,
)
from training.data import registry as datasets
from training.data.registry import Dataset, holdout
from training.fit import device
from training.fit.recipe import RECIPES, named

TRIALS = 50


@dataclass(frozen=True)
class SearchPlan:
    """A search that can start, or go on."""

    folder: RunFolder
    settings: Settings
    dataset: Dataset
    base: NetSpec
    space: Space
    budget: rfcalc.Budget
    """The project's, with the search's own limit on MACs."""
    screening: ScreeningRecord | None
    """What the space holds; None: the search is older than that."""
    previous: SearchRecord | None
    """What an earlier session left, when this one resumes it."""
    train_images: int
    """Images that trials and finalists may be trained on: train without validation."""
    validation_images: int
    executor: Executor | None = None
    """Opened already, on a cluster; None: it is made when it is first needed."""

    def close(self) -> None:
        """Leave the cluster."""
        if self.executor is not None:
            self.executor.close()


def plan_search(options: Options, console: Console, work: Work = train) -> SearchPlan:
    """Check everything that can be wrong before anything is trained or written; the folder is not made yet.

    Args:
        options: What was asked for.
        console: Shown to the user.
        work: What a worker on a cluster does with a job.

    Raises:
        SearchError: A flag cannot be met.
        TrainingError: The data set or the device cannot be used.
        RecordError: The search to resume cannot be read.
    """
    path = _locate(options, console)
    previous = SearchRecord.read(path / "search.json") if (path / "search.json").is_file() else None
    kept = Settings.from_json(previous.settings, "search.json, settings") if previous else None
    place = placement(options, "cpu" if kept is None else kept.device, None, kept)
    if (found := cluster(place["executor"])) is not None:
        found.check(place["ray_address"])  # before images are decoded
    if previous is None:
        settings, dataset, base = _fresh(options, console)
    else:
        settings = resumed(previous, options)
        dataset = _load(settings.data, Path(settings.cache), settings.resize, console)
        if dataset.fingerprint != previous.dataset.fingerprint:
            raise SearchError(
                f"{path}: was searched on {previous.dataset.title}, whose images were others than those of "
                f"--data {settings.data} now; choose another --name"
            )
        # What the user learnt at the start about a stand-in for the data holds for the whole search.
        dataset = replace(dataset, notice=previous.dataset.notice)
        base = _fitted(_base_spec(settings.base), dataset)
    budget = limited(project_budget(settings.limits), settings.max_macs)
    if settings.space == AROUND:
        gate, fill_to = Gate(budget, base.input_size), budget.max_params if settings.fill else None
        _, notice = starts(settings.candidates, gate, base.classes, fill_to)
        if notice is not None and previous is None:
            console.print(notice, style="yellow", highlight=False, markup=False)
    space = make_space(settings, base, budget)
    screening = previous.screening if previous else _screened(settings, space, budget, base)
    if settings.storage is not None:
        release(reach(settings.storage))  # a wrong password is met before a folder is made
    train, validation = holdout(dataset.train.labels)
    exact = options.jobs is not None or (kept is not None and not moves(options, kept))
    settings, executor = reached(settings, dataset, work, exact=exact, console=console)
    return SearchPlan(
        RunFolder(path),
        settings,
        dataset,
        base,
        space,
        budget,
        screening,
        previous,
        len(train),
        len(validation),
        executor,
    )


def _screened(
    settings: Settings, space: Space, budget: rfcalc.Budget, base: NetSpec
) -> ScreeningRecord | None:
    """Find out by arithmetic whether the search can find anything at all; None: its start fits already."""
    if settings.space == AROUND:
        return None
    if isinstance(space, WidthSpace):
        check_base(settings.base, space, budget)
    return screen(space, Gate(budget, base.input_size), settings.seed)


def _base_spec(name: str) -> NetSpec:
    return spec_named("--base", name, "its widths cannot be searched")


def _fitted(spec: NetSpec, dataset: Dataset) -> NetSpec:
    """Return `spec` for the images and classes of `dataset`; SpecError where it cannot take such images."""
    height, width = dataset.image_size
    return replace(spec, input_size=(3, height, width), classes=len(dataset.classes))


def _locate(options: Options, console: Console) -> Path:
    """Return the folder of the run: a new one, or one to resume."""
    out: Path = options.out
    if not options.resume:
        path = out / (options.name or time.strftime("%Y%m%d-%H%M%S"))
        if path.exists():
            raise SearchError(f"{path} exists; continue it with --resume, or choose another --name")
        return path
    if options.name is not None:
        path = out / options.name
    else:
        newest = folders.newest(out)
        path = newest.path if newest else out / time.strftime("%Y%m%d-%H%M%S")
    if not (path / "search.json").is_file():
        console.print(f"nothing to resume in {path}; starting afresh", style="yellow", highlight=False)
    return path


def _fresh(options: Options, console: Console) -> tuple[Settings, Dataset, NetSpec]:
    recipe = options.recipe or "fast"
    if recipe not in RECIPES:
        raise SearchError(f"--recipe {recipe}: {unknown(recipe, RECIPES)}")
    where = device.resolve(options.device or "auto")
    choice = choose(options, where.type)
    plain = "tiny" if where.type == "cpu" and choice.space != AROUND else FIRST
    base_name = options.base or plain
    base = _base_spec(base_name)
    left = narrowed(choice, base)
    cache = options.cache or Path("data/cache")
    dataset = _load(options.data, cache, options.resize, console)
    stages = defaults(where.type, dataset.kind)
    stages |= {name: value for name in STAGES if (value := getattr(options, name)) is not None}
    base = _fitted(base, dataset)
    for name in ("subset", "final_subset"):
        images, batch = stages[name], named(recipe, where.type).batch_size
        if images is not None and images < batch:
            flag = word_of(Options, name)
            raise SearchError(f"{flag} {images}: fewer images than one batch of recipe {recipe!r}, {batch}")
    around = choice.space == AROUND
    candidates = _candidates(options, choice, base, where.type)
    generation = options.generation or GENERATIONS["cpu" if where.type == "cpu" else "gpu"]
    cores = Share(where.type, 1).threads
    executor = options.executor or DEFAULT
    jobs = options.jobs or usual_jobs(choice.space, where.type, generation, executor)
    # Not of the jobs: the same seed is the same search for any number of them.
    threads = options.threads or (max(1, cores // generation) if around and where.type == "cpu" else None)
    if cluster(executor):
        threads = options.threads or options.cpus_per_job or 1
    drawn = dataset.kind == "shapes"
    settled = device.settle(named(recipe, where.type), build(base), dataset.image_size, where)
    settings = Settings.from_json(
        {
            "schema": Settings.SCHEMA,
            # What was found, not what was asked for: a resumed search must not find something else.
            "data": datasets.kept_name(dataset.kind, options.data),
            "cache": str(cache),
            "resize": options.resize,
            "base": base_name,
            "recipe": recipe,
            "device": where.type,
            "seed": options.seed or 0,
            "jobs": jobs,
            "threads": threads,
            "generation": generation,
            "step_limit": (options.max_step_time or STEP_LIMIT) if around else None,
            "storage": options.storage,
            "trials": options.trials or TRIALS,
            "precision": settled.precision,
            "layout": settled.layout,
            "space": choice.space,
            "narrowed": left,
            "fill": choice.fill,
            "sampler": choice.sampler,
            "objectives": choice.objectives,
            "pruner": choice.pruner,
            "max_macs": choice.max_macs,
            "limits": choice.limits,
            "presets": tuple(candidates),
            "given": given(candidates),
            "time_limit": options.time_limit or time_limit(where.type, dataset.kind),
            "winner_time": options.winner_time or (SHAPES_WINNER_TIME if drawn else None),
            **placement(options, where.type, threads, None),
            "storage_wait": STORAGE_WAIT if options.storage_wait is None else options.storage_wait,
            **stages,
        }
    )
    return settings, dataset, base


def _candidates(options: Options, choice: Choice, base: NetSpec, device: str) -> dict[str, NetSpec]:
    """Return the networks that take part from the start, by name.

    Raises:
        SearchError: A name of no network with a spec, one that breaks the budget, or none at all.
    """
    if options.start is not None and options.presets is not None:
        raise SearchError(f"--start {options.start}: --presets {options.presets} names others; give one")
    asked, flag = options.presets, "--presets"
    if options.start is not None:
        asked, flag = options.start, "--start"
    if asked == NONE and choice.space == AROUND:
        raise SearchError(f"{flag} {NONE}: --sampler {choice.sampler} starts from networks; name one")
    budget = limited(project_budget(choice.limits), choice.max_macs)
    # The largest would take longer than all other trainings; whoever sets a limit on MACs knows.
    most = CPU_MACS if device == "cpu" and "max_macs" not in choice.limits else None
    return rivals(asked, budget, base.input_size, base.classes, most, flag)


def _load(data: str | None, cache: Path, resize: int | None, console: Console) -> Dataset:
    return datasets.load(data, cache=cache, resize=resize, console=console)
