"""The contract of the service over HTTP, without a socket."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from serve import bodies
from serve.app import create_app
from serve.guard import HEADERS
from serve.model import load
from serve.service import Service, Settings
from tests.serve.conftest import CLASSES, make_run, picture
from training.command.predict import open_picture, probabilities
from training.command.trained import open_trained

Start = Callable[..., TestClient]


@pytest.fixture
def start(run: Path) -> Iterator[Start]:
    """`start(...)`: a client of a service with these settings."""
    opened = []

    def begin(where: Path = run, **settings: Any) -> TestClient:
        service = Service(load(where), lambda: load(where), Settings(**settings))
        app = create_app(service)
        client = TestClient(app, base_url="http://localhost:8123", raise_server_exceptions=False)
        client.__enter__()
        client.service = service  # type: ignore[attr-defined]
        opened.append(client)
        return client

    yield begin
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def client(start: Start) -> TestClient:
    return start()


def problem(response: Any, status: int) -> str:
    """Return the detail of a problem, which must have the form of RFC 9457."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert set(found) == {"type", "title", "status", "detail"}
    assert found["status"] == status
    return str(found["detail"])


SENT = [
    pytest.param({"content": picture(), "headers": {"Content-Type": "image/png"}}, id="body"),
    pytest.param({"content": picture(), "headers": {"Content-Type": "application/octet-stream"}}, id="bytes"),
    pytest.param({"files": {"file": ("a.png", picture(), "image/png")}}, id="upload"),
    pytest.param({"files": {"image": ("a.png", picture(), "text/plain")}}, id="upload by another name"),
]


@pytest.mark.parametrize("sent", SENT)
def test_api_answers_with_two_strings(client: TestClient, run: Path, tmp_path: Path, sent: Any) -> None:
    response = client.post("/api", **sent)
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == {"class", "confidence"}
    assert answer["class"] in CLASSES
    (tmp_path / "a.png").write_bytes(picture())
    trained = open_trained(run, None)
    row = probabilities(trained, [open_picture(tmp_path / "a.png", trained)], "cpu")[0]
    assert answer == {"class": CLASSES[int(row.argmax())], "confidence": str(float(row.max()))}


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", None])
def test_a_url_is_answered_as_the_published_service_does(
    start: Start, picture_url: str, kind: str | None
) -> None:
    client = start(allow_private=True)
    body = json.dumps({"url": picture_url})
    headers = {} if kind is None else {"Content-Type": kind}
    answer = client.post("/api", content=body, headers=headers).json()
    assert answer == client.post("/api", files={"file": picture()}).json()
    assert set(answer) == {"class", "confidence"}


@pytest.mark.parametrize("size", [(32, 32), (48, 32), (31, 77), (300, 200)], ids=str)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_every_way_gives_the_network_the_same_bits(
    start: Start,
    run: Path,
    tmp_path: Path,
    web: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    kind: str,
) -> None:
    data = picture(size, kind)
    seen: list[Any] = []

    def serve(request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(data)

    port = web(serve)
    client = start(allow_private=True)
    model = client.service.model  # type: ignore[attr-defined]
    original = model.engine.probabilities
    monkeypatch.setattr(
        model.engine, "probabilities", lambda images: (seen.append(images), original(images))[1]
    )
    client.post("/api", content=data, headers={"Content-Type": "image/png"})
    client.post("/api", files={"file": data})
    client.post("/api", json={"url": f"http://127.0.0.1:{port}/"})
    (tmp_path / "picture").write_bytes(data)
    expected = open_picture(tmp_path / "picture", open_trained(run, None)).pixels
    assert len(seen) == 3
    assert all(np.array_equal(images, expected[None]) for images in seen)


def test_predict_gives_numbers_and_the_top_classes(client: TestClient) -> None:
    answer = client.post("/v1/predict?top=1", files={"file": picture()}).json()
    assert set(answer) == {"class", "confidence", "probability", "top", "model", "milliseconds"}
    assert answer["top"] == [{"class": answer["class"], "probability": answer["probability"]}]
    assert answer["confidence"] == str(answer["probability"])
    whole = client.post("/v1/predict", files={"file": picture()}).json()
    assert sum(each["probability"] for each in whole["top"]) == pytest.approx(1)


def test_occlusion_is_what_covering_each_cell_costs(client: TestClient) -> None:
    answer = client.post("/v1/predict?explain=1", files={"file": picture()}).json()
    found = answer["occlusion"]
    assert np.shape(found["drops"]) == (8, 8)
    seen = np.asarray(Image.open(BytesIO(base64.b64decode(found["seen"].partition(",")[2]))))
    covered = seen.copy()
    covered[4:8, 28:32] = (120, 115, 105)
    content = BytesIO()
    Image.fromarray(covered).save(content, "PNG")
    other = client.post("/v1/predict", files={"file": content.getvalue()}).json()
    share = next(each["probability"] for each in other["top"] if each["class"] == answer["class"])
    assert found["drops"][1][7] == pytest.approx(answer["probability"] - share, abs=1e-6)


def test_no_explain_is_said(start: Start) -> None:
    client = start(explains=False)
    assert "no explanations" in problem(client.post("/v1/predict?explain=1", files={"file": picture()}), 403)


JSON = {"Content-Type": "application/json"}
PNG = {"Content-Type": "image/png"}
WRONG = [
    ({"content": "{}", "headers": JSON}, 400, "holds no url"),
    ({"content": "[1]", "headers": JSON}, 400, "holds no url"),
    ({"content": '{"url": 3}', "headers": JSON}, 400, "holds no url"),
    ({"content": "{", "headers": JSON}, 400, "no JSON"),
    ({"content": b"\xff\xfe", "headers": JSON}, 400, "no JSON"),
    ({"content": "[" * 16_000, "headers": JSON}, 400, "no JSON"),
    ({"content": " " * 20_000, "headers": JSON}, 413, "16,384 bytes"),
    ({"content": b"", "headers": PNG}, 400, "no bytes"),
    ({"content": b"", "headers": {}}, 400, "no JSON"),
    ({"content": "<a/>", "headers": {"Content-Type": "application/xml"}}, 415, "application/xml"),
    ({"content": b"0" * 8_000_001, "headers": PNG}, 413, "8,000,000 bytes"),
    ({"files": {"file": b"0" * 8_100_000}}, 413, "more than"),
    ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "form cannot be read"),
    ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=a"}}, 400, "form"),
    ({"files": {"a": picture(), "b": picture()}}, 400, "one file"),
    ({"data": {"a": "b"}, "files": {"c": ("", b"")}}, 400, "form"),
    ({"content": b"MZ hello", "headers": PNG}, 415, "JPEG"),
]


@pytest.mark.parametrize(("sent", "status", "text"), WRONG, ids=range(len(WRONG)))
@pytest.mark.parametrize("path", ["/api", "/v1/predict"])
def test_what_cannot_be_answered_is_a_problem_with_the_way_out(
    client: TestClient, path: str, sent: Any, status: int, text: str
) -> None:
    assert text in problem(client.post(path, **sent), status)


def test_a_body_without_a_length_is_bounded_too(client: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"0" * 1_000_000

    response = client.post("/api", content=endless(), headers=PNG)
    assert "8,000,000" in problem(response, 413)
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/api", 405), ("POST", "/v1/predict?top=0", 400), ("PUT", "/", 405)],
)
def test_wrong_requests_are_problems(client: TestClient, method: str, path: str, status: int) -> None:
    problem(client.request(method, path), status)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8123", 200),
        ("127.0.0.1:8123", 200),
        ("[::1]:8123", 200),
        ("cats.example", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("10.0.0.1", 400),
        ("", 400),
        ("localhost@evil.example", 400),
    ],
)
def test_the_host_header_is_checked(start: Start, host: str, status: int) -> None:
    response = start(hosts=("cats.example",)).get("/health", headers={"Host": host})
    assert response.status_code == status


def test_pages_of_other_sites_may_send_nothing(client: TestClient) -> None:
    for origin in ("https://evil.example", "null", "http://localhost:9000"):
        sent = client.post("/api", files={"file": picture()}, headers={"Origin": origin})
        assert "other sites" in problem(sent, 403)
    own = client.post("/api", files={"file": picture()}, headers={"Origin": "http://localhost:8123"})
    assert own.status_code == 200
    assert not any(name.startswith("access-control") for name in own.headers)


@pytest.mark.parametrize("path", ["/", "/api", "/health", "/nothing", "/docs", "/metrics", "/page.js"])
def test_every_answer_has_the_security_headers(client: TestClient, path: str) -> None:
    found = client.get(path).headers
    assert {name: found[name] for name in HEADERS} == HEADERS


def test_an_error_within_is_a_problem_with_the_headers(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(images: Any) -> Any:
        raise RuntimeError("secret path /home/anna")

    monkeypatch.setattr(client.service.model.engine, "probabilities", fail)  # type: ignore[attr-defined]
    response = client.post("/api", files={"file": picture()})
    assert "secret" not in problem(response, 500)
    assert response.headers["x-content-type-options"] == "nosniff"


def test_a_full_service_answers_503_at_once_and_health_goes_on(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(queue=2, workers=1)
    engine = client.service.model.engine  # type: ignore[attr-defined]
    original, free = engine.probabilities, threading.Event()
    monkeypatch.setattr(engine, "probabilities", lambda images: (free.wait(20), original(images))[1])
    found: list[Any] = []
    posts = [
        threading.Thread(target=lambda: found.append(client.post("/api", files={"file": picture()})))
        for _ in range(2)
    ]
    for post in posts:
        post.start()
    while client.service.limit.inside < 2:  # type: ignore[attr-defined]
        pass
    refused = client.post("/api", files={"file": picture()})
    assert "busy" in problem(refused, 503)
    assert refused.headers["retry-after"] == "1"
    assert client.get("/health").json() == {"status": "ok"}
    free.set()
    for post in posts:
        post.join()
    assert [each.status_code for each in found] == [200, 200]


def test_a_slow_answer_ends_with_504(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(seconds=0.2)
    free = threading.Event()
    engine = client.service.model.engine  # type: ignore[attr-defined]
    monkeypatch.setattr(engine, "probabilities", lambda images: free.wait(20))
    assert "0.2 seconds" in problem(client.post("/api", files={"file": picture()}), 504)
    free.set()


def test_one_bad_picture_fails_alone(client: TestClient) -> None:
    sent = [picture(seed=1), b"no picture", picture(seed=2), picture()[:400]]
    found: dict[int, int] = {}

    def post(number: int) -> None:
        found[number] = client.post("/api", files={"file": sent[number]}).status_code

    posts = [threading.Thread(target=post, args=(number,)) for number in range(len(sent))]
    for each in posts:
        each.start()
    for each in posts:
        each.join()
    assert found == {0: 200, 1: 415, 2: 200, 3: 422}


def test_uploads_alone(start: Start) -> None:
    client = start(fetches=False)
    assert "upload" in problem(client.post("/api", json={"url": "http://example.com/"}), 403)
    assert client.post("/api", files={"file": picture()}).status_code == 200
    assert client.get("/v1/model").json()["fetches"] is False


def test_ready_metrics_and_the_description(client: TestClient) -> None:
    assert client.get("/ready").json()["status"] == "ready"
    client.post("/api", files={"file": picture()})
    client.get("/stranger-7")
    text = client.get("/metrics").text
    assert 'serve_requests_total{path="/api",code="200"} 1' in text
    assert 'serve_requests_total{path="other",code="404"} 1' in text
    assert "stranger-7" not in text
    assert "serve_seconds_count 1" in text
    for line in text.splitlines():
        assert line.startswith("#") or len(line.rsplit(" ", 1)) == 2
    assert set(client.get("/openapi.json").json()["paths"]) == {
        *("/api", "/v1/predict", "/v1/model", "/health", "/ready", "/metrics")
    }


def test_pages_name_no_other_host(client: TestClient) -> None:
    for path in ("/", "/docs", "/page.css", "/page.js"):
        text = client.get(path).text.replace("https://example.com", "").replace("http://localhost:8123", "")
        assert "http://" not in text
        assert "https://" not in text


def test_class_names_are_escaped_in_metrics(start: Start, tmp_path: Path) -> None:
    name = 'a"\\\n<b>'
    client = start(make_run(tmp_path / "odd", classes=(name, f"{name}2")))
    client.post("/api", files={"file": picture()})
    line = next(each for each in client.get("/metrics").text.splitlines() if "serve_answers_total{" in each)
    assert '\\"' in line
    assert "\\\\\\n" in line


def test_the_largest_json_is_below_the_largest_picture() -> None:
    assert bodies.LARGEST == 8_000_000
