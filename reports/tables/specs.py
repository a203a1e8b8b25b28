"""A network of the grammar in words, read from the JSON that a trial's record holds; no network is built."""

from collections.abc import Mapping
from typing import Any

_PLAIN = {"kind", "width"}


def stages(spec: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return (stage, its layers), in the order of the record; a layer is its words and its output channels.

    A field that equals its default is not in the record, and so not in the words. The output has no width of
    its own: 0. Anything that is no list of layers is passed over, so that a record of any version is shown.
    """
    found = []
    for name, value in spec.items():
        layers = value if isinstance(value, list | tuple) else [value] if name == "output" else []
        shown = [_layer(each) for each in layers if isinstance(each, Mapping) and "kind" in each]
        if shown:
            found.append((name, shown))
    return found


def _layer(layer: Mapping[str, Any]) -> tuple[str, int]:
    width = layer.get("width")
    words = [f"{layer['kind']} {width}" if width is not None else str(layer["kind"])]
    words += [_setting(name, value) for name, value in layer.items() if name not in _PLAIN]
    return ", ".join(filter(None, words)).replace("_", " "), width if isinstance(width, int) else 0


def _setting(name: str, value: Any) -> str:
    """Return one setting in words: "stride 2", "shortcut over 2 layers", "branches 3 and 5, dilation 2"."""
    if value is False or value is None or (name == "residual" and value == 0):
        return ""
    if name == "residual":
        return "shortcut" if value in (1, True) else f"shortcut over {value} layers"
    if name == "branches" and isinstance(value, list | tuple):
        return "branches " + " and ".join(map(_branch, value))
    if name in ("activation", "order"):
        return str(value)
    return name if value is True else f"{name} {value}"


def _branch(branch: Any) -> str:
    if not isinstance(branch, Mapping):
        return str(branch)
    dilation = branch.get("dilation", 1)
    return f"{branch.get('kernel', 3)}" + (f" with dilation {dilation}" if dilation != 1 else "")
