"""The C1C2C3C4 grammar: a network as frozen dataclasses, checked when it is put together.

A `NetSpec` is a stem, four stages and an output. A stage is a list of layers. Nothing here knows torch: a
spec is validated, measured (`models.arithmetic`), widened (`with_widths`) and printed (`models.source`)
without building a single module. docs/grammar.md describes every kind and key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import jsonio
from .errors import SpecError
from .kinds import KINDS
from .layers import (
    ACTIVATIONS,
    NORMS,
    ORDERS,
    STAGES,
    BranchSpec,
    LayerSpec,
    OutputSpec,
    StageSpec,
)
from .outputs import OUTPUTS
from .rules import Shape, check_net

__all__ = [
    "ACTIVATIONS",
    "KINDS",
    "NORMS",
    "ORDERS",
    "OUTPUTS",
    "STAGES",
    "BranchSpec",
    "LayerSpec",
    "NetSpec",
    "OutputSpec",
    "SpecError",
    "StageSpec",
    "keeps_width",
    "stage_widths",
    "widened",
    "widened_stage",
    "widened_stem",
    "with_widths",
]


@dataclass(frozen=True, slots=True)
class NetSpec:
    """A whole network. Creating one checks every rule of the grammar.

    Attributes:
        name: Label of the network in tables and file names.
        c1: First stage; `c2`, `c3` and `c4` follow it.
        stem: Layers before the stages, often none.
        output: The classifier: features to class scores.
        input_size: Channels, height and width of an image.
        classes: Number of class scores; the network returns shape (N, classes).
        shapes: For the stem and C1 to C4, found by the check: the input shape (C, H, W) of every layer, then
            the output shape of the last.

    Raises:
        SpecError: A rule is broken; the text names the stage, the layer, the value and the rule.
    """

    name: str
    c1: StageSpec
    c2: StageSpec
    c3: StageSpec
    c4: StageSpec
    stem: StageSpec = field(default_factory=StageSpec)
    output: OutputSpec = field(default_factory=OutputSpec)
    input_size: tuple[int, int, int] = (3, 32, 32)
    classes: int = 10
    shapes: tuple[list[Shape], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shapes", check_net(self))

    @property
    def stages(self) -> tuple[StageSpec, StageSpec, StageSpec, StageSpec]:
        """C1 to C4."""
        return self.c1, self.c2, self.c3, self.c4

    def parts(self) -> tuple[tuple[str, StageSpec], ...]:
        """Return the stem and the stages with their names, in the order in which they run."""
        return (("stem", self.stem), *zip(STAGES, self.stages, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values; a key that has its default is left out."""
        data: dict[str, Any] = {
            "schema": jsonio.SCHEMA,
            "name": self.name,
            "input_size": list(self.input_size),
            "classes": self.classes,
        }
        for name, stage in self.parts():
            data[name] = jsonio.stage_to_json(stage)
        return data | {"output": jsonio.output_to_json(self.output)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NetSpec:
        """Read what `to_json` wrote.

        Raises:
            SpecError: `data` is not a spec, has an unknown key or schema version, or breaks a rule.
        """
        return cls(**jsonio.net_values(data))

    @classmethod
    def read(cls, path: Path) -> NetSpec:
        """Read the spec in a JSON file.

        Raises:
            SpecError: The file cannot be read, is not JSON, or holds no spec; the text begins with `path`.
        """
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise SpecError(f"{path}: cannot be read ({error.strerror})") from error
        except SpecError as error:
            raise SpecError(f"{path}: {error}") from error
        except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or thousands of brackets
            why = str(error).partition("; use sys.")[0]  # Python's advice about digits is for programmers
            raise SpecError(f"{path}: is not JSON ({why})") from error


def stage_widths(spec: NetSpec) -> tuple[int, int, int, int]:
    """Return the output channels of C1 to C4."""
    c1, c2, c3, c4 = (stage.layers[-1].width for stage in spec.stages)
    return c1, c2, c3, c4


def with_widths(spec: NetSpec, widths: Sequence[int]) -> NetSpec:
    """Return `spec` with these output channels of C1 to C4 and with everything that must follow them.

    Inside a stage, layers as wide as the stage stay so and others keep their ratio to it; depthwise layers
    take the channels that they read, and layers at the end of a shortcut those at its start; a stem follows
    C1 where these lead from the last layer of C1 back to the stem's output.

    Raises:
        SpecError: Not four widths, or no valid network has them: groups that do not divide, or a stage tied
            to the one before that gets another width.
    """
    if len(widths) != len(STAGES):
        raise SpecError(f"widths: must be one for each of {', '.join(STAGES)}, but got {list(widths)!r}")
    stem, c1, c2, c3, c4 = widened(spec, widths)
    for name, stage, width in zip(STAGES, (c1, c2, c3, c4), widths, strict=True):
        got = stage.layers[-1].width
        if got != width:
            raise SpecError(f"{name}: its depthwise layers and shortcuts keep {got} channels, not {width!r}")
    return replace(spec, stem=stem, c1=c1, c2=c2, c3=c3, c4=c4)


def widened(spec: NetSpec, widths: Sequence[int]) -> list[StageSpec]:
    """Return the stem and the stages that `with_widths` puts together, unchecked."""
    stem = widened_stem(spec, widths[0])
    parts, channels = [stem], stem.layers[-1].width if stem.layers else spec.input_size[0]
    for stage, width in zip(spec.stages, widths, strict=True):
        parts.append(widened_stage(stage, width, channels))
        channels = parts[-1].layers[-1].width
    return parts


def widened_stem(spec: NetSpec, width: int) -> StageSpec:
    """Return the stem that goes with a C1 of `width` channels."""
    if not spec.stem.layers or not keeps_width(spec.c1):
        return spec.stem
    return widened_stage(spec.stem, width, spec.input_size[0])


def keeps_width(stage: StageSpec) -> bool:
    """Tell whether shortcuts and depthwise layers lead from the stage's end back to its input.

    That ties its width to what comes before.
    """
    end = len(stage.layers)
    while end:
        layer = stage.layers[end - 1]
        if not layer.residual and layer.groups != "depthwise":
            return False
        end -= layer.residual or 1
    return True


def _scaled(layer: LayerSpec, old: int, new: int) -> int:
    """Return the width of a layer, in the ratio that it has to its stage, which goes from `old` to `new`."""
    if layer.width == old:
        return new
    step = layer.groups if isinstance(layer.groups, int) else 1
    return max(step, round(layer.width * new / old / step) * step)


def widened_stage(stage: StageSpec, width: int, channels: int) -> StageSpec:
    """Return the stage with its last layer `width` wide, reading `channels`.

    Depthwise layers and the ends of shortcuts are as wide as what they follow.
    """
    old = stage.layers[-1].width
    layers, widths = [], [channels]
    for index, layer in enumerate(stage.layers):
        if layer.groups == "depthwise":
            new = widths[-1]
        else:
            new = widths[index + 1 - layer.residual] if layer.residual else _scaled(layer, old, width)
        layers.append(layer if new == layer.width else replace(layer, width=new))
        widths.append(new)
    return StageSpec(tuple(layers))
