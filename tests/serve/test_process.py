"""The command in a process of its own: its start, clients that others wrote, signals, its end."""

import concurrent.futures
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from records.layout import WEIGHTS
from serve.errors import ServeError
from serve.model import load
from tests.serve.conftest import ENVIRONMENT, export, indifferent_run, make_run, picture

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """A running service."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-m", "serve", *words, "--port", "0"]
        self.popen = subprocess.Popen(
            command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert "http://127.0.0.1:" in line, self.popen.communicate()[1]
        self.port = int(line.rsplit(":", 1)[1])

    def ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = "image/png"
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {} if body is None else {"Content-Type": kind})
            response = connection.getresponse()
            content = response.read()
            return response.status, json.loads(content)
        finally:
            connection.close()

    def end(self, number: signal.Signals) -> tuple[int, float, str]:
        """Send a signal; return the exit code, the seconds until the end, and stderr."""
        start = time.monotonic()
        self.popen.send_signal(number)
        _, errors = self.popen.communicate(timeout=60)
        return self.popen.returncode, time.monotonic() - start, errors


@pytest.fixture
def process() -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(*words: str | Path) -> Process:
        started.append(Process(*map(str, words)))
        return started[-1]

    yield start
    for each in started:
        if each.popen.poll() is None:
            each.popen.kill()
            each.popen.communicate()


def refused(*words: str | Path) -> str:
    """Return the one line of a command that cannot serve."""
    found = subprocess.run(
        [sys.executable, "-m", "serve", *map(str, words)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr.startswith("serve: error: ")
    assert found.stderr.count("\n") == 1
    return found.stderr


def test_a_port_in_use_is_one_line(run: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "choose another --port" in refused(run, "--port", str(taken.getsockname()[1]))


def test_a_run_without_weights_is_one_line(tmp_path: Path) -> None:
    assert "best.safetensors" in refused(tmp_path, "--port", "0")


def test_wrong_words_are_one_line() -> None:
    assert "65535" in refused("run", "--port", "70000")
    assert "--allow-url" in refused("run", "--port", "0", "--allow-url", "example.com")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_as_the_published_service_is_called(
    run: Path, process: Callable[..., Process], picture_url: str, tmp_path: Path
) -> None:
    service = process(run, "--allow-private")
    (tmp_path / "dog.png").write_bytes(picture())
    url = f"http://127.0.0.1:{service.port}/api"
    body = json.dumps({"url": picture_url})
    ways = [
        ["-H", "Content-Type: application/json", "--data", body],
        ["--data", body],
        ["-F", f"file=@{tmp_path / 'dog.png'}"],
        ["-H", "Content-Type: image/png", "--data-binary", f"@{tmp_path / 'dog.png'}"],
        ["-H", "Content-Type: image/png", "-H", "Expect: 100-continue", "-T", str(tmp_path / "dog.png")],
    ]
    answers = [
        json.loads(
            subprocess.run(
                ["curl", "-s", "--noproxy", "*", "-X", "POST", *way, url], capture_output=True, check=True
            ).stdout
        )
        for way in ways
    ]
    assert all(answer == answers[0] for answer in answers)
    assert {key: type(value) for key, value in answers[0].items()} == {"class": str, "confidence": str}
    code, _, errors = service.end(signal.SIGTERM)
    assert (code, errors) == (0, "")


def test_requests_as_the_published_client_calls_it(
    run: Path, process: Callable[..., Process], picture_url: str
) -> None:
    service = process(run, "--allow-private")
    with requests.Session() as session:
        session.trust_env = False  # no proxy of the machine's
        ask = partial(session.post, f"http://127.0.0.1:{service.port}/api", timeout=60)
        answers = [
            ask(json={"url": picture_url}),
            ask(files={"file": ("dog.png", picture(), "image/png")}),
            ask(data=picture(), headers={"Content-Type": "image/png"}),
            ask(data=iter([picture()[:100], picture()[100:]]), headers={"Content-Type": "image/png"}),
        ]
        refused = ask(json={"url": "no address"})
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert set(answers[0].json()) == {"class", "confidence"}
    assert refused.headers["Content-Type"] == "application/problem+json"
    code, _, errors = service.end(signal.SIGTERM)
    assert (code, errors) == (0, "")


def expected(folder: Path, sent: list[bytes]) -> list[float]:
    model = load(folder)
    return [float(model.probabilities(np.stack([model.prepare(each)]))[0].max()) for each in sent]


def test_what_was_accepted_is_answered_after_sigterm(run: Path, process: Callable[..., Process]) -> None:
    """Under load: each client gets the right answer, 503, or a connection that was never accepted."""
    sent = [picture(seed=seed) for seed in range(8)]
    right = expected(run, sent)
    service = process(run)
    assert service.ask("GET", "/ready")[0] == 200

    def post(number: int) -> str:
        answered = "none"
        try:
            while True:
                status, answer = service.ask("POST", "/api", sent[number % 8])
                if status == 503:
                    return answered
                if status != 200 or float(answer["confidence"]) != pytest.approx(right[number % 8], abs=1e-4):
                    return f"wrong: {status} {answer}"
                answered = "right"
        # Refused, or closed before its request was read.
        except (ConnectionError, http.client.BadStatusLine):
            return answered

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        found = [pool.submit(post, number) for number in range(12)]
        time.sleep(1.5)
        code, seconds, errors = service.end(signal.SIGTERM)
        ends = {each.result() for each in found}
    assert code == 0
    # Without the seconds that Python takes to give torch back; a busy machine may be late all the same.
    assert seconds < 15, errors
    assert "timeout graceful shutdown exceeded" not in errors
    assert ends <= {"right", "none"}
    assert "right" in ends
    assert "Traceback" not in errors


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_weights_are_swapped_under_requests_and_bad_ones_are_not(
    tmp_path: Path, process: Callable[..., Process]
) -> None:
    folder = make_run(tmp_path / "pets", seed=0)
    sent = picture()
    old = expected(folder, [sent])[0]
    service = process(folder)
    stop = time.monotonic() + 60
    answers: list[tuple[int, Any]] = []
    running = True

    def post() -> None:
        while running and time.monotonic() < stop:
            answers.append(service.ask("POST", "/v1/predict", sent))

    def reloaded(result: str, count: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return f'serve_reloads_total{{result="{result}"}} {count}' in text

    def reload(result: str, count: int) -> None:
        os.kill(service.popen.pid, signal.SIGHUP)
        while not reloaded(result, count):
            assert time.monotonic() < stop
            time.sleep(0.05)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(post)
        make_run(folder, seed=1)
        reload("done", 1)
        new = expected(folder, [sent])[0]
        version = service.ask("POST", "/v1/predict", sent)[1]["model"]["version"]
        whole = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(whole[:-100])
        reload("failed", 1)
        make_run(tmp_path / "other", classes=("lion", "tiger"))
        (folder / WEIGHTS).write_bytes((tmp_path / "other" / WEIGHTS).read_bytes())
        reload("failed", 2)
        after = service.ask("POST", "/v1/predict", sent)[1]["model"]["version"]
        running = False
    assert after == version
    assert {status for status, _ in answers} == {200}
    for _, answer in answers:
        by_version = new if answer["model"]["version"] == version else old
        assert answer["probability"] == pytest.approx(by_version, abs=1e-4)
    _, _, errors = service.end(signal.SIGTERM)
    assert errors.count("reload failed") == 2
    assert "different runs" in errors
    assert "Traceback" not in errors


def test_an_exported_run_is_served_by_a_process_without_torch(
    tmp_path: Path, process: Callable[..., Process]
) -> None:
    """Which is a tenth of the size; another process has compared the export with the weights."""
    folder = indifferent_run(tmp_path / "pets")
    export(folder)
    service = process(folder)
    status, answer = service.ask("POST", "/v1/predict", picture())
    assert (status, answer["model"]["engine"]) == (200, "onnxruntime")
    assert answer["probability"] == pytest.approx(0.5)
    assert service.ask("GET", "/v1/model")[1]["receptive_field"] == [61, 61]
    maps = Path(f"/proc/{service.popen.pid}/maps")
    if maps.is_file():
        loaded = maps.read_text()
        assert "onnxruntime" in loaded
        assert "libtorch" not in loaded
    assert service.end(signal.SIGTERM)[0] == 0


def test_what_the_process_apart_says_of_the_weights_is_one_line(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "pets")
    export(folder)
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(ServeError) as caught:
        load(folder, apart=True)
    assert str(folder / WEIGHTS) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ctrl_c_ends_it_as_well(run: Path, process: Callable[..., Process]) -> None:
    assert process(run).end(signal.SIGINT)[0] == 0
