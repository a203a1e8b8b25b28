"""A spec as the text of a standalone model.py: torch only, readable, with its figures in the header.

The file's modules are those of `blocks.py`, copied unchanged, and its constructor calls are those that
`build` runs, so the weights of the built network load into it.
"""

from __future__ import annotations

import ast
import json
import textwrap
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from .arithmetic import Figures, figures
from .calls import net_calls
from .spec import NetSpec
from .units import Call

WIDTH = 88
"""Lines are no longer, so that formatters of usual settings leave the file as it is."""

_ALWAYS = ("Layer", "Stage", "initialise")


def standalone_source(spec: NetSpec) -> str:
    """Return the text of a Python file that defines `class Net` and `build_model()`.

    Args:
        spec: The network; the header of the file contains it as JSON, with its figures.

    Returns:
        Source that imports torch alone and runs nothing but definitions when imported.
    """
    calls = net_calls(spec)
    used = {name for call in calls.values() for name in _names(call)} | set(_ALWAYS)
    blocks = [text for name, text in _blocks().items() if name in used]
    body = "\n\n\n".join([*blocks, _net(spec, calls), _BUILD_MODEL])
    return f"{_header(spec, figures(spec))}\n{_imports(body)}\n\n\n{body}\n"


_BUILD_MODEL = '''\
def build_model() -> Net:
    """Return the network with fresh weights."""
    return Net()'''


def _header(spec: NetSpec, facts: Figures) -> str:
    height, width = facts.receptive_field
    lines = [
        f'"""{spec.name}: images of {"x".join(map(str, spec.input_size))} to {spec.classes} class scores.',
        "",
        f"Parameters       {facts.params:,}",
        f"MACs             {facts.macs:,}",
        f"Receptive field  {height} x {width} pixels before global pooling, jump {facts.jump[0]}",
        f"Peak activation  {facts.peak_activation_bytes:,} bytes (float32, one image)",
        "",
        "`python -m rfcalc` on this file gives the same figures. Written from this spec:",
        "",
        _spec_text(spec),
        '"""',
        "",
    ]
    return "\n".join(lines)


def _spec_text(spec: NetSpec) -> str:
    """Return the spec as JSON, one line a layer."""
    entries = []
    for key, value in spec.to_json().items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            layers = ",\n".join(_wrapped(json.dumps(layer), 4) for layer in value)
            entries.append(f'  "{key}": [\n{layers}\n  ]')
        else:
            entries.append(_wrapped(f'"{key}": {json.dumps(value)}', 2))
    return "{\n" + ",\n".join(entries) + "\n}"


def _wrapped(line: str, indent: int) -> str:
    """Indent a line of JSON and break it between its keys where it is too long."""
    first, others = " " * indent, " " * (indent + 2)
    glued = line.replace('": ', '":\N{NO-BREAK SPACE}')
    text = textwrap.fill(
        glued,
        WIDTH - 1,  # a comma may follow
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return text.replace("\N{NO-BREAK SPACE}", " ")


def _imports(body: str) -> str:
    lines = ["from __future__ import annotations", ""]
    lines += ["import torch"] if "torch." in body else []
    lines += ["import torch.nn.functional as F"] if " F." in body or "(F." in body else []
    return "\n".join([*lines, "from torch import Tensor, nn"])


@cache
def _blocks() -> dict[str, str]:
    """Return the source of every class and function of blocks.py, by name."""
    text = Path(__file__).with_name("blocks.py").read_text(encoding="utf-8")
    found = (node for node in ast.parse(text).body if isinstance(node, (ast.ClassDef, ast.FunctionDef)))
    return {node.name: ast.get_source_segment(text, node) or "" for node in found}


def _names(value: object) -> Iterable[str]:
    """Yield the name of a call and of every call among its arguments."""
    if isinstance(value, Call):
        yield value.name
        for inner in (*value.args, *value.kwargs.values()):
            yield from _names(inner)


def _net(spec: NetSpec, calls: dict[str, Call]) -> str:
    size = ", ".join(map(str, spec.input_size))
    lines = [
        "class Net(nn.Module):",
        f'    """Images (N, {size}) to class scores (N, {spec.classes})."""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *(
            f"        self.{name} = {_expression(call, 8, len(f'self.{name} = '))}"
            for name, call in calls.items()
        ),
        "        initialise(self)",
        "",
        "    def forward(self, x: Tensor) -> Tensor:",
        '        """Return the class scores of a batch of images."""',
        *(f"        x = self.{name}(x)" for name in calls if name != "output"),
        "        scores: Tensor = self.output(x)",
        "        return scores",
    ]
    return "\n".join(lines)


def _expression(value: object, indent: int, before: int) -> str:
    """Return the source of a value; a call that does not fit its line takes one line an argument.

    Args:
        value: A call, or a plain value.
        indent: Spaces that its line starts with.
        before: Characters on that line before the value; the line ends in one more.
    """
    if not isinstance(value, Call):
        return repr(value)
    arguments = [("", arg) for arg in value.args] + [(f"{key}=", arg) for key, arg in value.kwargs.items()]
    flat = [f"{key}{_expression(arg, 0, -WIDTH)}" for key, arg in arguments]
    line = f"{value.name}({', '.join(flat)})"
    open_up = value.name in ("Layer", "Stage") and bool(arguments)
    if not open_up and indent + before + len(line) + 1 <= WIDTH:
        return line
    inner = " " * (indent + 4)
    texts = (f"{inner}{key}{_expression(arg, indent + 4, len(key))},\n" for key, arg in arguments)
    return f"{value.name}(\n{''.join(texts)}{' ' * indent})"
