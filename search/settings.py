"""Everything that defines a search; `--resume` continues with the same, but for the number of trials."""

from dataclasses import dataclass, field, replace
from typing import Any

from models.presets import PRESETS
from models.spec import NetSpec
from records.codec import Record
from training.fit.recipe import Recipe, named

STORAGE_WAIT = 60.0
"""Seconds to wait for a database that is away, where nothing else is asked for."""


@dataclass(frozen=True)
class Settings(Record):
    """What was asked for, and what the defaults of the device filled in."""

    data: str
    """What `training.data.registry.load` takes: one of its `NAMED` data sets or a path."""
    cache: str
    resize: int | None
    base: str
    """A preset's name or the path of a spec.json."""
    recipe: str
    device: str
    """"cpu", "cuda" or "mps"; resolved, never "auto"."""
    seed: int
    jobs: int
    storage: str | None
    """RDB URL of the study; None: SQLite in the run folder."""
    trials: int
    epochs: int
    """Epochs of a trial."""
    subset: int | None
    """Training images of a trial; None: all."""
    finalists: int
    final_epochs: int
    final_subset: int | None
    winner_epochs: int
    """Epochs of the winner, on training and validation images together."""
    precision: str
    """Of every training, settled once by measuring the base network: trials stay comparable."""
    layout: str
    """Likewise: "channels_last" or "contiguous"."""
    space: str = "widths"
    """"around" the presets, "widths" of the base network, or "full": the whole grammar."""
    narrowed: dict[str, tuple[int | float | str, ...]] = field(default_factory=dict)
    """Values that are allowed of some dimensions, from a space file."""
    fill: bool = False
    """Whether widths are filled up to just under the parameter limit."""
    sampler: str = "tpe"
    objectives: tuple[str, ...] = ("accuracy",)
    """Searches of earlier versions went by accuracy."""
    pruner: str = "median"
    max_macs: int | None = None
    """A limit on MACs beside those of the project's budget."""
    final_seeds: int = 1
    """Runs of each finalist at most, each with a seed of its own."""
    presets: tuple[str, ...] = ()
    """Names of the networks that the search starts from, candidates by right: presets, or what was named."""
    given: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Specs of those that are no presets, by name, as they were when the search began."""
    time_limit: float | None = None
    """Seconds of the search without the winner's own training, all sessions together."""
    winner_time: float | None = None
    """Seconds that the winner's own training may take: it has fewer epochs where they would take longer."""
    generation: int = 8
    """Children that are trained in a generation."""
    step_limit: float | None = None
    """Time of a training step, in times that of the best preset, above which a child is turned away."""
    limits: dict[str, int | bool] = field(default_factory=dict)
    """Limits in place of those of the project's budget, by name."""
    threads: int | None = None
    """CPU threads of a training; None: the machine's, shared by the `jobs`."""
    executor: str = "local"
    """Where trainings run, one of `search.execute.executors.EXECUTORS`."""
    ray_address: str | None = None
    """Of the Ray cluster; None: another executor."""
    cpus_per_job: int | None = None
    """CPUs of a cluster that a job takes; None: another executor."""
    gpus_per_job: float = 0.0
    """GPUs of a cluster that a job takes."""
    storage_wait: float = STORAGE_WAIT
    """Seconds that a database may be away before the search gives up."""
    retries: int = 1
    """How often a failed training is tried again."""

    @property
    def candidates(self) -> dict[str, NetSpec]:
        """The networks of `presets`, by name; SpecError where search.json holds one that is damaged."""
        return {
            name: NetSpec.from_json(self.given[name]) if name in self.given else PRESETS[name]
            for name in self.presets
        }

    @property
    def trial_recipe(self) -> Recipe:
        """How a trial is trained."""
        return replace(self._settled, epochs=self.epochs)

    @property
    def final_recipe(self) -> Recipe:
        """How a finalist is trained."""
        return replace(self._settled, epochs=self.final_epochs)

    @property
    def winner_recipe(self) -> Recipe:
        """How the winner is trained."""
        return replace(self._settled, epochs=self.winner_epochs)

    @property
    def _settled(self) -> Recipe:
        return replace(named(self.recipe, self.device), precision=self.precision, layout=self.layout)


# On a CPU trials are as long as finalists: short ones rank fast starters (docs/results/search.md).
STAGES = ("epochs", "subset", "finalists", "final_epochs", "final_subset", "winner_epochs", "final_seeds")
_DEFAULTS: dict[tuple[str, str], tuple[int | None, ...]] = {
    ("cpu", "shapes"): (4, 3_000, 2, 4, 3_000, 12, 4),
    ("cpu", "images"): (6, 15_000, 2, 6, 15_000, 30, 4),
    ("gpu", "shapes"): (6, None, 3, 16, None, 40, 3),
    ("gpu", "images"): (10, None, 3, 20, None, 150, 3),
}
MINUTE = 60.0
TIME_LIMITS = {"shapes": 8 * MINUTE, "cpu": 30 * MINUTE, "gpu": 10 * MINUTE}
"""Of a search, where no other is asked for: on the drawn shapes, and on other images by device."""
SHAPES_WINNER_TIME = 1.25 * MINUTE
"""Of the winner's training on the drawn shapes: the first command that a user tries ends in ten minutes."""
GENERATIONS = {"cpu": 8, "gpu": 48}
"""Children of a generation."""
STEP_LIMIT = 1.5
CPU_MACS = 20_000_000
"""Limit on the MACs of the whole grammar's networks on a CPU, and of the presets trained beside a search:
`residual` and `transposed` are below it, the median of what fits otherwise is 25 M."""


def defaults(device: str, kind: str) -> dict[str, int | None]:
    """Return the budget of each stage for a device ("cpu", "cuda", "mps") and a kind of data set."""
    values = _DEFAULTS["cpu" if device == "cpu" else "gpu", "shapes" if kind == "shapes" else "images"]
    return dict(zip(STAGES, values, strict=True))


def time_limit(device: str, kind: str) -> float:
    """Return the seconds that a search may take, for a device and a kind of data set."""
    return TIME_LIMITS["shapes" if kind == "shapes" else "cpu" if device == "cpu" else "gpu"]
