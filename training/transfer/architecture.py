"""Architecture: a pretrained backbone with a new head, by name; built from known names, never by import path.

The network is the library's own module with its classifier replaced, so its parameters keep the library's
names, and weights written here load into a network that somebody else built.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from training.errors import TrainingError
from training.transfer.preprocessing import Preprocessing

LITE0 = "tf_efficientnet_lite0"
"""timm's name. `efficientnet_lite0`, without "tf_", takes the same tensors but pads otherwise."""
_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")
_LARGEST_HEAD = 8192


@dataclass(frozen=True)
class Head:
    """What replaces the classifier: linear layers with ReLU and dropout between them.

    Raises:
        TrainingError: A width or the dropout is out of range.
    """

    hidden: tuple[int, ...] = ()
    """Widths of the hidden layers; none: one linear layer."""
    dropout: float = 0.0
    """Probability, after each hidden layer's ReLU."""
    log_softmax: bool = False
    """End in log-probabilities, as the published DenseNet-121 does; cross-entropy takes these as well."""

    def __post_init__(self) -> None:
        for width in self.hidden:
            if not 1 <= width <= _LARGEST_HEAD:
                raise TrainingError(f"--head: a hidden width must be 1 to {_LARGEST_HEAD}, got {width}")
        if len(self.hidden) > 8:
            raise TrainingError(f"--head: at most 8 hidden layers, got {len(self.hidden)}")
        if not 0 <= self.dropout < 1:
            raise TrainingError(f"--dropout {self.dropout}: must be at least 0 and below 1")

    def build(self, features: int, classes: int) -> nn.Module:
        """Return the head with fresh weights; it maps (N, features) to (N, classes)."""
        if not self.hidden and not self.log_softmax:
            return nn.Linear(features, classes)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        before = features
        for position, width in enumerate(self.hidden, start=1):
            layers[f"fc{position}"] = nn.Linear(before, width)
            layers[f"relu{position}"] = nn.ReLU()
            if self.dropout:
                layers[f"dropout{position}"] = nn.Dropout(self.dropout)
            before = width
        layers["output"] = nn.Linear(before, classes)
        if self.log_softmax:
            layers["log_softmax"] = nn.LogSoftmax(dim=1)
        return nn.Sequential(layers)


@dataclass(frozen=True)
class Architecture:
    """A network for transfer learning, as data.

    Raises:
        TrainingError: The library or the name is unknown, or there are fewer than two classes.
    """

    library: str
    """"timm" or "torchvision"."""
    name: str
    """The library's name of the backbone."""
    head: Head
    classes: int
    preprocessing: Preprocessing

    def __post_init__(self) -> None:
        if self.library not in _LIBRARIES:
            raise TrainingError(
                f"backbone of {self.library!r}: unknown library; choose {' or '.join(_LIBRARIES)}"
            )
        if not _NAME.fullmatch(self.name):
            raise TrainingError(f"backbone {self.name!r}: not the name of a network")
        if self.classes < 2:
            raise TrainingError(f"a classifier needs two classes or more, got {self.classes}")

    def build(self) -> nn.Module:
        """Return the network with fresh weights; it maps (N, 3, input, input) to (N, classes).

        Raises:
            TrainingError: The library is missing, or it has no network of this name.
        """
        network = _LIBRARIES[self.library](self.name)
        place = classifier_of(self, network)
        linear = _last_linear(network.get_submodule(place), self.name)
        network.set_submodule(place, self.head.build(linear.in_features, self.classes))
        return network

    def to_json(self) -> dict[str, Any]:
        """Return plain strings, numbers and lists: what run.json and weights carry."""
        return {
            "backbone": f"{self.library}:{self.name}",
            "head": list(self.head.hidden),
            "dropout": self.head.dropout,
            "log_softmax": self.head.log_softmax,
            "classes": self.classes,
            "preprocessing": self.preprocessing.to_json(),
        }

    @classmethod
    def from_json(cls, value: Any) -> Architecture:
        """Read what `to_json` returned; names of known libraries are looked up, nothing is imported by path.

        Raises:
            TrainingError: A key is missing, or a value is of the wrong kind or out of range.
        """
        try:
            library, _, name = str(value["backbone"]).partition(":")
            hidden = tuple(int(width) for width in value["head"])
            head = Head(hidden, float(value["dropout"]), bool(value["log_softmax"]))
            classes, preprocessing = int(value["classes"]), value["preprocessing"]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise TrainingError(f"the architecture cannot be read: {error}") from error
        return cls(library, name, head, classes, Preprocessing.from_json(preprocessing))

    def resized(self, *, input: int | None, crop: float | None) -> Architecture:
        """Return the architecture with another input size or crop than its weights ask for."""
        wanted = self.preprocessing
        return replace(
            self,
            preprocessing=replace(
                wanted,
                input=wanted.input if input is None else input,
                crop=wanted.crop if crop is None else crop,
            ),
        )


def _torchvision(name: str) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise TrainingError(
            f"torchvision has no classifier {name!r}; torchvision.models.list_models() names them all"
        )
    network: nn.Module = models.get_model(name, weights=None)
    if not isinstance(network, tuple(_families())):
        known = ", ".join(family.__name__ for family in _families())
        raise TrainingError(
            f"torchvision:{name}: its classifier cannot be replaced here; families are {known}"
        )
    return network


def _timm(name: str) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise TrainingError(
            'timm is not installed, which holds this backbone; pip install -e ".[transfer]"'
        ) from error
    if not timm.is_model(name):
        raise TrainingError(f"timm has no network {name!r}; timm.list_models() names them all")
    network: nn.Module = timm.create_model(name, pretrained=False)
    return network


_LIBRARIES: dict[str, Callable[[str], nn.Module]] = {"timm": _timm, "torchvision": _torchvision}


def _families() -> Sequence[type[nn.Module]]:
    from torchvision import models

    return (
        models.ResNet,
        models.DenseNet,
        models.MobileNetV2,
        models.EfficientNet,
        models.RegNet,
    )


def classifier_of(architecture: Architecture, network: nn.Module) -> str:
    """Return the dotted name of the module that is replaced by the head."""
    if architecture.library == "timm":
        name = getattr(network, "pretrained_cfg", {}).get("classifier")
        if isinstance(name, str) and name:
            return name
        raise TrainingError(
            f"timm:{architecture.name}: its classifier has no single name; choose another backbone"
        )
    return "fc" if hasattr(network, "fc") else "classifier"


def soften(network: nn.Module, architecture: Architecture, temperature: float) -> None:
    """Divide the logits of a network by a temperature for good, in the weights of its last linear layer.

    Whoever uses the network afterwards, in whatever form, meets calibrated probabilities.
    """
    head = network.get_submodule(classifier_of(architecture, network))
    last = [module for module in head.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        last.weight.div_(temperature)
        last.bias.div_(temperature)


def _last_linear(classifier: nn.Module, name: str) -> nn.Linear:
    found = [module for module in classifier.modules() if isinstance(module, nn.Linear)]
    if len(found) != 1:
        raise TrainingError(f"{name}: its classifier holds {len(found)} linear layers, expected one")
    return found[0]
