"""A run that was never trained, a service of it, and servers on loopback that it may be lured to."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.net import build
from models.presets import PRESETS
from records.files import write_json
from records.layout import RUN, WEIGHTS
from records.run import DatasetFacts, Environment, RunRecord
from serve.engines import ONNX
from training.fit.checkpoint import load_weights, save_weights
from training.fit.runfolder import weights_metadata
from training.fit.weights import load_network

CLASSES = ("cat", "dog")


def make_run(folder: Path, seed: int = 0, classes: tuple[str, ...] = CLASSES) -> Path:
    """Write run.json and best.safetensors of `tiny` with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    spec = replace(PRESETS["tiny"], classes=len(classes))
    network = build(spec).eval()
    dataset = DatasetFacts(
        *("pets", "folder", "pets", "0" * 16, classes, (32, 32), 100, 10, 10),
        mean=(120.0, 115.0, 105.0),
        std=(60.0, 61.0, 62.0),
    )
    record = RunRecord(
        name=folder.name,
        network=spec.name,
        recipe={},
        seed=seed,
        dataset=dataset,
        environment=Environment("cpu", "made up", 2, {}, None, None),
        params=sum(each.numel() for each in network.parameters()),
        macs=1_000_000,
        receptive_field=(61, 61),
        seconds=1.0,
        started="2026-11-20T20:00:00Z",
        spec=spec.to_json(),
        val_accuracy=0.9,
    )
    write_json(folder / RUN, record.to_json())
    save_weights(folder / WEIGHTS, network, weights_metadata(record))
    return folder


def export(folder: Path, *, scale: float = 1.0, **other: Any) -> None:
    """Write a run's ONNX model, which averages the image and gives every class the same score."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    _, metadata = load_weights(folder / WEIGHTS)
    weight = numpy_helper.from_array(scale * np.ones((3, len(CLASSES)), dtype=np.float32), "weight")
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
        ],
        "averages",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(CLASSES)])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    facts = {key: metadata[key] for key in ("classes", "input_size", "normalisation")} | other
    helper.set_model_props(model, {key: json.dumps(value) for key, value in facts.items()})
    (folder / ONNX).parent.mkdir(exist_ok=True)
    onnx.save(model, str(folder / ONNX))


def indifferent_run(folder: Path) -> Path:
    """Write a run whose last layer is zero, so that every class is as likely."""
    make_run(folder)
    network, metadata = load_network(folder)
    with torch.no_grad():
        for each in list(network.parameters())[-2:]:
            each.zero_()
    save_weights(folder / WEIGHTS, network, metadata)
    return folder


def picture(size: tuple[int, int] = (48, 32), kind: str = "PNG", seed: int = 0, **settings: Any) -> bytes:
    """Return the bytes of a picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    content = BytesIO()
    Image.fromarray(pixels).save(content, kind, **settings)
    return content.getvalue()


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "pets")


class Sockets:
    """Every address that this process connects to while it is watched, read from Python's audit events."""

    def __init__(self) -> None:
        self.connected: list[Any] = []
        self.watching = False

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.watching and event == "socket.connect":
            self.connected.append(arguments[1])


_SOCKETS = Sockets()


@pytest.fixture
def sockets() -> Iterator[list[Any]]:
    """Addresses that were connected to; an audit hook stays for ever, so there is one for all tests."""
    if not getattr(_SOCKETS, "added", False):
        import sys

        sys.addaudithook(_SOCKETS.hook)
        _SOCKETS.added = True  # type: ignore[attr-defined]
    _SOCKETS.connected = []
    _SOCKETS.watching = True
    yield _SOCKETS.connected
    _SOCKETS.watching = False


Handler = Callable[[Any], None]


@pytest.fixture
def web() -> Iterator[Callable[[Handler], int]]:
    """`web(handler)`: a server on loopback whose GET is `handler(request)`; returns its port."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    servers: list[ThreadingHTTPServer] = []

    def start(handler: Handler) -> int:
        class Serves(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                # The client cuts the connection where it has seen enough.
                try:
                    handler(self)
                except OSError:
                    self.close_connection = True

            def log_message(self, *words: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Serves)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the service; afterwards as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def picture_url(web: Callable[[Handler], int]) -> str:
    """The address of a picture on loopback, the one that `picture()` returns."""

    def serve(request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(picture())

    return f"http://127.0.0.1:{web(serve)}/dog.png"
