"""What is exported: the network of a run, of a spec or of a model file, with what is known of its images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import rfcalc
from export.errors import ExportError
from models.catalogue import read
from models.net import build
from records.deployment import FOLDER
from training.command.trained import Trained, open_trained

FRESH_SEED = 0
_SIZE = (3, 32, 32)
"""Of a network that names none."""
_HALF = (127.5, 127.5, 127.5)
"""Mean and deviation of an untrained network's images, which nothing is known of: pixels become -1 to 1."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A network that is exported."""

    network: nn.Module
    """In eval mode, on the CPU, float32; maps normalised images (N, 3, H, W) to logits (N, classes)."""
    name: str
    classes: tuple[str, ...]
    input_size: tuple[int, int, int]
    """(channels, height, width)"""
    mean: tuple[float, float, float]
    """Per channel, 0-255."""
    std: tuple[float, float, float]
    trained: Trained | None
    """None: the network has fresh weights, and no image has anything to say about it."""
    folder: Path
    """Where the exported files go unless the user names another folder."""

    @property
    def hash(self) -> str:
        """SHA-256 of the state, tensor by tensor in the order of their names."""
        digest = hashlib.sha256()
        for name, value in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def open_subject(
    target: str, *, model: str | None = None, input_size: tuple[int, ...] | None = None
) -> Subject:
    """Load what the command line names.

    Args:
        target: The folder of a run or a search, a safetensors file, or any other target of `rfcalc.Target`:
            spec.json, a network that has a name, model.py:Name or package.module:name, whose code is run.
        model: Builds the network of a run whose weights have no spec.
        input_size: (channels, height, width) of a network that has neither weights nor a spec.

    Raises:
        ExportError: Its input size is given though it is known, or its images have not three channels.
        UserError: The run's weights cannot be loaded.
        SpecError: The spec cannot be read.
        RfcalcError: There is no such network, with the nearest name; or it cannot be loaded.
    """
    path = Path(target)
    if path.is_dir() or path.suffix == ".safetensors":
        if input_size is not None:
            raise ExportError(f"--input: {target} knows its input size; leave the flag out")
        return _of_run(path, model)
    found = rfcalc.Target.parse(target)
    if Path(found.place).is_dir():
        raise ExportError(f"{target}: a run knows its input size; leave out what begins with @")
    if model is not None:
        raise ExportError(f"--model {model}: only for a run whose weights have no spec; {target} is no run")
    if input_size is not None and found.given_size is not None:
        raise ExportError(f"--input: {target} names its input size already; leave one of the two out")
    size = found.given_size or input_size
    if found.path is not None and found.path.suffix == ".json":
        spec = read(found.path).spec
        assert spec is not None
        if size is not None:
            wrong = "--input" if found.given_size is None else "what begins with @"
            raise ExportError(f"{target}: a spec knows its input size; leave out {wrong}")
        return _fresh(lambda: build(spec), spec.name, spec.input_size, path.with_suffix(""))
    own = found.path.stem if found.path is not None else found.named or found.module.rpartition(".")[2]
    name = found.name or own
    return _fresh(lambda: rfcalc.load_model(target), name, size or found.own_size or _SIZE, Path(name))


def _of_run(path: Path, model: str | None) -> Subject:
    trained = open_trained(path, model)
    return Subject(
        _without_log_softmax(trained.network.float().eval()),
        trained.name,
        trained.classes,
        (3, *trained.image_size),
        trained.mean,
        trained.std,
        trained,
        trained.file.parent / FOLDER,
    )


def _fresh(make: Callable[[], nn.Module], name: str, size: tuple[int, ...], folder: Path) -> Subject:
    shown = "x".join(map(str, size))
    if len(size) != 3 or size[0] != 3:
        raise ExportError(
            f"{name}: an input of {shown}; RGB images alone, 3 x height x width, can be exported"
        )
    _, height, width = size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(FRESH_SEED)
        network = make()
    network = _without_log_softmax(network.float().eval())
    try:
        with torch.inference_mode():
            scores = network(torch.zeros(2, *size))
    # Whatever the forward of a stranger's model raises.
    except Exception as error:
        raise ExportError(
            f"{name}: cannot read an image of {shown} ({error}); name its size with --input"
        ) from error
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != 2:
        raise ExportError(f"{name}: does not return (N, classes) scores; a classifier alone can be exported")
    classes = tuple(f"class {number}" for number in range(scores.shape[1]))
    return Subject(
        network,
        name,
        classes,
        (3, height, width),
        _HALF,
        _HALF,
        None,
        folder.with_name(f"{folder.name}-export"),
    )


def _without_log_softmax(network: nn.Module) -> nn.Module:
    """Replace a log-softmax at the end by nothing: a softmax of the logits gives the same probabilities."""
    modules = [name for name, module in network.named_modules() if not list(module.children())]
    if modules and isinstance(network.get_submodule(modules[-1]), nn.LogSoftmax):
        network.set_submodule(modules[-1], nn.Identity())
    return network


class Normalised(nn.Module):
    """A network that reads pixels: RGB, 0-255, float32, (N, 3, H, W).

    Args:
        subject: The network with its normalisation.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.network = subject.network
        self.register_buffer("mean", torch.tensor(subject.mean).view(1, 3, 1, 1))
        # As training.fit.device.Normalise: times 1 / std.
        self.register_buffer("scale", 1 / torch.tensor(subject.std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits (N, classes)."""
        logits: Tensor = self.network((pixels - self.mean) * self.scale)
        return logits
