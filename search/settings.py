"""Everything that defines a search; `--resume` continues with the same, but for the number of trials."""

from dataclasses import dataclass, field, replace

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
    """"widths" of the base network, or "full": the whole grammar."""
    narrowed: dict[str, tuple[int | float | str, ...]] = field(default_factory=dict)
    """Values that are allowed of some dimensions, from a space file."""
    fill: bool = False
    """Whether widths are filled up to just under the parameter limit."""
    sampler: str = "tpe"
    objectives: tuple[str, ...] = ("accuracy",)
    pruner: str = "median"
    max_macs: int | None = None
    """A limit on MACs beside those of the project's budget."""
    final_seeds: int = 1
    """Runs of each finalist, each with a seed of its own."""
    presets: tuple[str, ...] = ()
    """Trained as the finalists are, for comparison."""
    time_limit: float | None = None
    """Seconds of the whole search, all sessions together."""
    executor: str = "local"
    """Where trainings run, one of `search.execute.executors.EXECUTORS`."""
    storage_wait: float = STORAGE_WAIT
    """Seconds that a database may be away before the search gives up."""
    retries: int = 1
    """How often a failed training is tried again."""

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


# Chosen so that the first command ends on 2 CPU cores within 10 minutes on `shapes`, which was measured, and
# within about 30 on CIFAR-10 (docs/results/search.md); a GPU takes all images.
STAGES = ("epochs", "subset", "finalists", "final_epochs", "final_subset", "winner_epochs", "final_seeds")
_DEFAULTS: dict[tuple[str, str], tuple[int | None, ...]] = {
    ("cpu", "shapes"): (4, 2_500, 3, 4, None, 12, 1),
    ("cpu", "images"): (4, 5_000, 3, 6, 15_000, 26, 1),
    ("gpu", "shapes"): (6, None, 3, 16, None, 40, 2),
    ("gpu", "images"): (10, None, 5, 30, None, 150, 2),
}
CPU_MACS = 20_000_000
"""Limit on the MACs of the whole grammar's networks on a CPU, and of the presets trained beside a search:
`residual` and `transposed` are below it, the median of what fits otherwise is 25 M."""


def defaults(device: str, kind: str) -> dict[str, int | None]:
    """Return the budget of each stage for a device ("cpu", "cuda", "mps") and a kind of data set."""
    values = _DEFAULTS["cpu" if device == "cpu" else "gpu", "shapes" if kind == "shapes" else "images"]
    return dict(zip(STAGES, values, strict=True))
