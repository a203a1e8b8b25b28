"""What a user may name to `rf` and `compare`: a run folder with its record, or another target of rfcalc."""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from records.run import RunRecord
from reports.errors import ReportError
from reports.runs import SearchRun, TrainRun, open_run

if TYPE_CHECKING:
    from torch import nn

    from rfcalc import Analysis

Size = tuple[int, ...]
DEFAULT_SIZE = (3, 32, 32)


@dataclass(frozen=True)
class Named:
    """A network or run folder that the user named, with what is known of it before it is loaded."""

    title: str
    """What tables and pages call it: the name as it was given."""
    target: str | None
    """What rfcalc loads; None for a run folder without a model.py."""
    size: Size
    record: RunRecord | None = None
    """Of a run folder."""
    weights: Path | None = None
    """The trained weights, where a run folder has them."""


def resolve(given: str, size: Size | None = None) -> Named:
    """Find the network or run folder of a name; nothing is loaded yet.

    Args:
        given: A run folder, or any other target of rfcalc, such as `model.py:Name` or `resnet20@3x64x64`.
        size: For networks whose name does not say it; None is a network's own, else 3x32x32.

    Raises:
        ReportError: The folder is no finished run.
        rfcalc.errors.RfcalcError: There is no such network, or the text behind @ is no size.
    """
    if Path(given).is_dir():
        return _run(Path(given), given.rstrip("/"))
    from rfcalc import Target

    target = Target.parse(given)
    return Named(given, given, target.given_size or size or target.own_size or DEFAULT_SIZE)


def explorable(run: SearchRun | TrainRun) -> str | None:
    """Return what `rf` takes for a run: its folder, what built its network, None where neither is enough."""
    trained = run.best if isinstance(run, SearchRun) else run
    if trained is None:
        return None
    if (trained.folder / "model.py").is_file():
        return str(run.folder)
    settings = trained.record.settings
    return None if settings is not None and settings.arguments else trained.record.target


def measure(named: Named, trained: bool = False) -> "Analysis":
    """Load a network and analyse it, as `load` does."""
    return load(named, trained)[1]


def load(named: Named, trained: bool = False) -> "tuple[nn.Module, Analysis]":
    """Load a network and analyse it; this runs the file that defines it.

    Fresh weights are drawn from a fixed seed, so that the same target always gives the same page.

    Args:
        named: What `resolve` found.
        trained: Whether to load the weights that a run folder holds.

    Raises:
        ReportError: There is no model.py, or the weights are not those of the network.
        rfcalc.errors.RfcalcError: The target cannot be loaded or analysed.
    """
    if named.target is None:
        raise ReportError(f"{named.title} has no model.py: its layers are not known")
    import torch

    import rfcalc

    with contextlib.redirect_stdout(sys.stderr), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = rfcalc.load_model(named.target)
        if trained and named.weights is not None:
            _load(model, named.weights)
        return model, rfcalc.analyze(model, input_size=named.size)


def _run(folder: Path, title: str) -> Named:
    run = open_run(folder)
    if isinstance(run, SearchRun):
        if run.best is None:
            raise ReportError(f"{folder} has no winner yet: compare its trials in its own report")
        run = run.best
    model, weights = run.folder / "model.py", run.folder / "best.safetensors"
    return Named(
        title,
        str(model) if model.is_file() else None,
        (3, *run.record.dataset.image_size),
        run.record,
        weights if weights.is_file() else None,
    )


def _load(model: "nn.Module", path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ReportError(f"{path} does not hold the weights of the model.py beside it ({reason})") from error
