"""What a user may name to `rf` and `compare`: a run folder, a published network, or an rfcalc target."""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from records.run import RunRecord
from reports.errors import ReportError
from reports.runs import SearchRun, open_run

if TYPE_CHECKING:
    from torch import nn

    from rfcalc import Analysis

Size = tuple[int, ...]
_PLACE = "models.reference."
PUBLISHED: dict[str, tuple[str, Size]] = {
    "cifar10_transpose": ("cifar10_transpose:build_model", (3, 32, 32)),
    "cifar10_dilated_blocks": ("cifar10_dilated_blocks:build_model", (3, 32, 32)),
    "resnet8": ("resnet8:build_model", (3, 32, 32)),
    "resnet20": ("resnet20:build_model", (3, 32, 32)),
    "densenet121_catdog": ("densenet121_catdog:build_model", (3, 244, 244)),
    "resnet50_catdog": ("resnet50_catdog:build_model", (3, 224, 224)),
    "resnet50_catdog_deep": ("resnet50_catdog:build_deep_head", (3, 224, 224)),
}
"""Short names of the networks in models/reference, each with the input that it was published for."""
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
        given: A run folder, a name of `PUBLISHED`, `model.py`, `model.py:Name` or `package.module:name`; all
            but the folder may end in `@CxHxW`, the input size.
        size: For networks whose name does not say it; None is a network's own, else 3x32x32.

    Raises:
        ReportError: The folder is no finished run.
        rfcalc.errors.RfcalcError: The text behind @ is no size.
    """
    if Path(given).is_dir():
        return _run(Path(given), given.rstrip("/"))
    name, at, ending = given.rpartition("@")
    if at:
        from rfcalc import parse_size

        size = parse_size(ending)
    else:
        name = given
    if name in PUBLISHED and not Path(name).exists():
        target, own = PUBLISHED[name]
        return Named(given, _PLACE + target, size or own)
    return Named(given, name, size or DEFAULT_SIZE)


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
