"""From the command line to a search that can start: its folder, its settings, its data, its base network."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

import rfcalc
from models.errors import SpecError
from models.net import build
from models.presets import PRESETS
from models.spec import NetSpec
from records.flags import word_of
from records.search import ScreeningRecord, SearchRecord
from records.text import unknown
from search.errors import SearchError
from search.execute.executors import DEFAULT, EXECUTORS
from search.keep import folder as folders
from search.keep.folder import RunFolder
from search.keep.storage import hidden, needs_password, reach, release
from search.options import Options
from search.propose.choosing import choose, make_space, narrowed
from search.propose.gate import Gate
from search.propose.limits import limited, project_budget
from search.propose.rivals import NONE, rivals
from search.propose.screening import check_base, screen
from search.propose.space import Space, WidthSpace
from search.settings import STAGES, STORAGE_WAIT, Settings, defaults
from training.data import registry as datasets
from training.data.registry import Dataset, holdout
from training.fit import device
from training.fit.recipe import RECIPES, named

TRIALS = 50
_KEPT = (
    *("data", "resize", "base", "recipe", "seed", "storage", *STAGES),
    *("space", "fill", "sampler", "objectives", "pruner", "max_macs", "presets"),
)
"""What a resumed search cannot change."""


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


def plan_search(options: Options, console: Console) -> SearchPlan:
    """Check everything that can be wrong before anything is trained or written.

    Raises:
        SearchError: A flag cannot be met.
        TrainingError: The data set or the device cannot be used.
        RecordError: The search to resume cannot be read.
    """
    path = _locate(options, console)
    previous = SearchRecord.read(path / "search.json") if (path / "search.json").is_file() else None
    if previous is None:
        settings, dataset, base = _fresh(options, console)
    else:
        settings = _resumed(previous, options)
        dataset = _load(settings.data, Path(settings.cache), settings.resize, console)
        if dataset.fingerprint != previous.dataset.fingerprint:
            raise SearchError(
                f"{path}: was searched on {previous.dataset.title}, whose images were others than those of "
                f"--data {settings.data} now; choose another --name"
            )
        # What the user learnt at the start about a stand-in for the data holds for the whole search.
        dataset = replace(dataset, notice=previous.dataset.notice)
        base = _fitted(_base(settings.base), dataset)
    budget = limited(project_budget(), settings.max_macs)
    space = make_space(settings, base, budget)
    screening = previous.screening if previous else _screened(settings, space, budget, base)
    if settings.storage is not None:
        release(reach(settings.storage))  # a wrong password is met before a folder is made
    train, validation = holdout(dataset.train.labels)
    return SearchPlan(
        folders.make(path),
        settings,
        dataset,
        base,
        space,
        budget,
        screening,
        previous,
        len(train),
        len(validation),
    )


def _screened(settings: Settings, space: Space, budget: rfcalc.Budget, base: NetSpec) -> ScreeningRecord:
    """Find out by arithmetic whether the search can find anything at all."""
    if isinstance(space, WidthSpace):
        check_base(settings.base, space, budget)
    return screen(space, Gate(budget, base.input_size), settings.seed)


def _base(name: str) -> NetSpec:
    """Return the preset `name`, or the spec in the file of that name."""
    if name in PRESETS:
        return PRESETS[name]
    if name.endswith(".json"):
        try:
            return NetSpec.read(Path(name))
        except SpecError as error:
            raise SearchError(f"--base {error}") from error
    raise SearchError(f"--base {name}: {unknown(name, PRESETS)}, or a spec.json")


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
    base_name = options.base or ("tiny" if where.type == "cpu" else "residual")
    base = _base(base_name)
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
            "jobs": options.jobs or 1,
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
            "presets": rivals(
                options.presets,
                limited(project_budget(), choice.max_macs),
                base.input_size,
                base.classes,
                where.type,
            ),
            "time_limit": options.time_limit,
            "executor": _executor(options.executor or DEFAULT),
            "storage_wait": STORAGE_WAIT if options.storage_wait is None else options.storage_wait,
            **stages,
        }
    )
    return settings, dataset, base


def _resumed(previous: SearchRecord, options: Options) -> Settings:
    """Return the stored settings; trials may be raised, and how it runs may change, nothing else."""
    settings = Settings.from_json(previous.settings, "search.json, settings")
    if options.space_file is not None or (options.space or "").endswith(".toml"):
        raise SearchError(
            f"--space-file: the space of {previous.name!r} is kept as it was; leave the flag out, "
            "or choose another --name"
        )
    for name in _KEPT:
        asked = getattr(options, name)
        if name == "fill" and asked:
            continue  # --no-fill was not given
        if name in ("objectives", "presets") and asked is not None:
            asked = () if asked == NONE else tuple(word.strip() for word in asked.split(","))
        if name == "storage" and asked is not None:
            asked = hidden(asked)
        if asked is not None and asked != getattr(settings, name):
            given = word_of(Options, name) + ("" if name == "fill" else f" {asked}")
            raise SearchError(
                f"{given}: the search {previous.name!r} was started with {getattr(settings, name)}; "
                "leave the flag out, or choose another --name"
            )
    if options.device not in (None, "auto", settings.device):
        raise SearchError(
            f"--device {options.device}: the search {previous.name!r} runs on {settings.device}"
        )
    device.resolve(settings.device)
    if settings.storage is not None and needs_password(settings.storage) and options.storage is None:
        raise SearchError("--storage: give the URL again, its password is not kept in search.json")
    if options.trials is not None and options.trials < settings.trials:
        raise SearchError(
            f"--trials {options.trials}: the search {previous.name!r} has {settings.trials}; raise it"
        )
    return replace(
        settings,
        trials=options.trials or settings.trials,
        jobs=options.jobs or settings.jobs,
        time_limit=options.time_limit or settings.time_limit,
        cache=str(options.cache or settings.cache),
        storage=options.storage or settings.storage,
        executor=_executor(options.executor or settings.executor),
        storage_wait=settings.storage_wait if options.storage_wait is None else options.storage_wait,
    )


def _executor(name: str) -> str:
    if name not in EXECUTORS:
        raise SearchError(f"--executor {name}: {unknown(name, EXECUTORS)}")
    return name


def _load(data: str | None, cache: Path, resize: int | None, console: Console) -> Dataset:
    return datasets.load(data, cache=cache, resize=resize, console=console)
