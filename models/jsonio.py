"""The parts of a spec as JSON values and back.

Layers are dictionaries; a key that has its default is left out, so that files stay short and readable. The
defaults belong to the schema version: changing one means a new version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from .errors import SpecError, shown
from .layers import STAGES, BranchSpec, LayerSpec, OutputSpec, StageSpec

SCHEMA = 1
_PARTS = ("stem", *STAGES)
_KEYS = ("schema", "name", "input_size", "classes", *_PARTS, "output")


def stage_to_json(stage: StageSpec) -> list[dict[str, Any]]:
    """Return a stage as a list of layers."""
    return [_layer_to_json(layer) for layer in stage.layers]


def output_to_json(output: OutputSpec) -> dict[str, Any]:
    """Return an output as a dictionary."""
    return {"kind": output.kind} | _changed(output)


def net_values(data: Any) -> dict[str, Any]:
    """Return the arguments of `NetSpec` that a JSON object holds.

    Raises:
        SpecError: Not a spec of schema 1, or it has unknown keys or lacks some.
    """
    if not isinstance(data, Mapping):
        raise SpecError(f"spec: must be a JSON object, but got {shown(data)}")
    if "schema" not in data:
        raise SpecError(
            f"spec: has no 'schema', so it is no network spec; its keys are {shown(sorted(map(str, data)))}"
        )
    if data["schema"] != SCHEMA or isinstance(data["schema"], bool):
        raise SpecError(f"schema: this version reads schema {SCHEMA}, but got {shown(data['schema'])}")
    _check_keys("spec", data, _KEYS, required=("name", *STAGES))
    parts = {name: StageSpec(_layers_from_json(name, data[name])) for name in _PARTS if name in data}
    output = data.get("output", {})
    if not isinstance(output, Mapping):
        raise SpecError(f"output: must be a JSON object, but got {shown(output)}")
    _check_keys("output", output, [entry.name for entry in fields(OutputSpec)])
    size = data.get("input_size", [3, 32, 32])
    return {
        "name": data["name"],
        **parts,
        "output": OutputSpec(**output),
        "input_size": tuple(size) if isinstance(size, list) else size,
        "classes": data.get("classes", 10),
    }


def _layer_to_json(layer: LayerSpec) -> dict[str, Any]:
    changed = _changed(layer)
    if layer.branches:
        changed["branches"] = [{"kernel": branch.kernel} | _changed(branch) for branch in layer.branches]
    return {"kind": layer.kind, "width": layer.width} | changed


def _layers_from_json(name: str, data: Any) -> tuple[LayerSpec, ...]:
    if not isinstance(data, list):
        raise SpecError(f"{name}: must be a list of layers, but got {shown(data)}")
    return tuple(_layer_from_json(f"{name}, layer {index}", entry) for index, entry in enumerate(data))


def _layer_from_json(where: str, data: Any) -> LayerSpec:
    if not isinstance(data, Mapping):
        raise SpecError(f"{where}: must be a JSON object, but got {shown(data)}")
    _check_keys(where, data, [entry.name for entry in fields(LayerSpec)], required=("kind", "width"))
    values = dict(data)
    if "branches" in values:
        values["branches"] = _branches_from_json(where, values["branches"])
    return LayerSpec(**values)


def _branches_from_json(where: str, data: Any) -> tuple[BranchSpec, ...]:
    if not isinstance(data, list) or not all(isinstance(entry, Mapping) for entry in data):
        raise SpecError(f"{where}: branches must be a list of JSON objects, but got {shown(data)}")
    for number, entry in enumerate(data):
        _check_keys(f"{where}, branch {number}", entry, ("kernel", "dilation"))
    return tuple(BranchSpec(**entry) for entry in data)


def _check_keys(
    where: str, data: Mapping[str, Any], known: Iterable[str], required: Iterable[str] = ()
) -> None:
    known = tuple(known)
    for key in data:
        if key not in known:
            raise SpecError(f"{where}: unknown key {shown(key)}; known are {', '.join(known)}")
    for key in required:
        if key not in data:
            raise SpecError(f"{where}: the key {key!r} is missing")


def _changed(spec: LayerSpec | BranchSpec | OutputSpec) -> dict[str, Any]:
    """Return the fields that differ from their defaults."""
    values = {entry.name: (getattr(spec, entry.name), entry.default) for entry in fields(spec)}
    return {
        name: value
        for name, (value, default) in values.items()
        if default is not MISSING and value != default
    }
