"""The page: the graph as JSON, its weights as base64, and the scripts, in one file."""

from __future__ import annotations

import base64
import json
import re
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from export.graph import Activation, Convolution, Graph, Slice
from export.subject import Subject

_HERE = Path(__file__).parent


def page(subject: Subject, network: Graph) -> str:
    """Return the HTML file.

    Args:
        subject: The network.
        network: Its operators.
    """
    weights: list[np.ndarray[Any, np.dtype[np.float32]]] = []
    nodes = []
    place = 0
    for node in network.nodes:
        op = node.op
        described: dict[str, Any] = {
            "op": type(op).__name__.lower(),
            "inputs": list(node.inputs),
            "shape": list(node.shape),
        }
        if isinstance(op, Convolution):
            described |= {
                "weight": place,
                "bias": place + op.weight.size,
                "kernel": list(op.weight.shape[2:]),
                "stride": list(op.stride),
                "padding": list(op.padding),
                "dilation": list(op.dilation),
                "groups": op.groups,
                "transposed": op.transposed,
            }
            weights += [op.weight.reshape(-1), op.bias]
            place += op.weight.size + op.bias.size
        elif isinstance(op, Activation):
            described["kind"] = op.kind
        elif isinstance(op, Slice):
            described |= {"start": op.start, "stop": op.stop}
        nodes.append(described)
    values = range(len(network.nodes) + 1)
    model = {
        "input": list(network.input_shape),
        "classes": list(subject.classes),
        "mean": list(subject.mean),
        "std": list(subject.std),
        "crop": _crop(subject),
        "nodes": nodes,
        "last": [max(network.users(value), default=-1) for value in values],
        "weights": base64.b64encode(np.concatenate(weights).astype("<f4").tobytes()).decode(),
    }
    data = subject.trained.dataset if subject.trained is not None else "nothing: its weights are fresh"
    facts = f"{subject.name}, {place:,} weights, trained on {data}; weights {subject.hash[:12]}"
    return _filled(
        {
            "TITLE": escape(subject.name),
            "FACTS": escape(facts),
            # A class may be called "</script>": JSON in a script must hold no "<".
            "MODEL": json.dumps(model, ensure_ascii=False).replace("<", "\\u003c"),
            "NETWORK": (_HERE / "network.js").read_text(encoding="utf-8"),
            "PAGE": (_HERE / "page.js").read_text(encoding="utf-8"),
        }
    )


def _crop(subject: Subject) -> float:
    trained = subject.trained
    return 1.0 if trained is None or trained.preprocessing is None else trained.preprocessing.crop


def _filled(parts: dict[str, str]) -> str:
    """Fill the page in one pass, so that a name which looks like a mark is not filled again."""
    text = (_HERE / "page.html").read_text(encoding="utf-8")
    return re.sub(f"@({'|'.join(parts)})@", lambda mark: parts[mark[1]], text)
