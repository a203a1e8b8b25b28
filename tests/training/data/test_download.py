import hashlib
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from training.data import download as module
from training.data.download import DownloadError, download
from training.errors import DataError

DATA = bytes(range(256)) * 5000
MD5 = hashlib.md5(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers /whole, /cut (which announces more than it sends), /slow and /moved."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
            self.end_headers()
            return
        if self.path not in ("/whole", "/cut", "/stalls", "/silent"):
            self.send_error(404)
            return
        if self.path == "/silent":
            time.sleep(1)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA if self.path == "/whole" else DATA[:300_000])
        if self.path == "/stalls":
            self.wfile.flush()
            time.sleep(1)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def fetch(url: str, target: Path, *, md5: str = MD5, size: int = len(DATA)) -> str:
    console = Console(file=io.StringIO(), width=300)
    download(url, target, md5=md5, size=size, what="CIFAR-10", console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@contextmanager
def leaves_nothing(folder: Path) -> Iterator[None]:
    yield
    assert list(folder.rglob("*")) == []


@pytest.mark.parametrize("path", ["whole", "moved"])
def test_a_file_of_the_right_checksum_arrives_whole(server: str, tmp_path: Path, path: str) -> None:
    target = tmp_path / "new" / "folder" / "set.tar.gz"

    line = fetch(f"{server}/{path}", target)

    assert target.read_bytes() == DATA
    assert [path.name for path in target.parent.iterdir()] == ["set.tar.gz"]
    assert line == f"downloading CIFAR-10 (1 MB) from {server[7:]} to {target}\n"


def test_a_terminal_gets_a_progress_bar(server: str, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True)

    download(f"{server}/whole", tmp_path / "a", md5=MD5, size=len(DATA), what="CIFAR-10", console=console)

    assert isinstance(console.file, io.StringIO)
    assert "1.3/1.3 MB" in console.file.getvalue()


@pytest.mark.parametrize(
    ("path", "md5", "size", "reason"),
    [
        ("whole", "0" * 32, len(DATA), rf"has md5 {MD5} and not 0+: not the file, or damaged"),
        ("whole", MD5, len(DATA) - 1, r"is longer than its 1,279,999 bytes: not the file"),
        ("cut", MD5, len(DATA), r"broke off after 0\.3 of 1\.3 MB"),
        ("none", MD5, len(DATA), r"cannot be reached: Not Found"),
    ],
)
def test_another_file_is_refused_and_nothing_left(
    server: str, tmp_path: Path, path: str, md5: str, size: int, reason: str
) -> None:
    with leaves_nothing(tmp_path), pytest.raises(DownloadError, match=reason):
        fetch(f"{server}/{path}", tmp_path / "set.tar.gz", md5=md5, size=size)


def test_a_file_that_is_there_survives_a_failed_download(server: str, tmp_path: Path) -> None:
    target = tmp_path / "set.tar.gz"
    target.write_bytes(b"old")

    with pytest.raises(DownloadError):
        fetch(f"{server}/cut", target)
    assert target.read_bytes() == b"old"


def test_a_refused_connection_fails_at_once(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    start = time.monotonic()

    with (
        leaves_nothing(tmp_path),
        pytest.raises(DownloadError, match=rf"127\.0\.0\.1:{port} cannot be reached: .*refused"),
    ):
        fetch(f"http://127.0.0.1:{port}/whole", tmp_path / "a")
    assert time.monotonic() - start < 3


def test_an_unknown_host_fails_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(DownloadError, match=r"no\.such\.host cannot be reached: .*Name or service not known"):
        fetch("http://no.such.host/whole", tmp_path / "a")


def test_a_name_look_up_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hangs(*_: object, **__: object) -> None:
        release.wait(10)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    monkeypatch.setattr(module, "ANSWER_WITHIN", 0.3)
    start = time.monotonic()

    with (
        leaves_nothing(tmp_path),
        pytest.raises(DownloadError, match=r"slow\.host did not answer within 0 s"),
    ):
        fetch("http://slow.host/whole", tmp_path / "a")
    assert time.monotonic() - start < 3
    release.set()


@pytest.mark.parametrize(
    ("path", "reason"), [("stalls", "broke off: timed out"), ("silent", "cannot be reached: timed out")]
)
def test_a_server_that_falls_silent_is_given_up(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, reason: str
) -> None:
    monkeypatch.setattr(module, "STALLED_AFTER", 0.3)

    with leaves_nothing(tmp_path), pytest.raises(DownloadError, match=reason):
        fetch(f"{server}/{path}", tmp_path / "a")


def test_a_target_that_cannot_be_written_is_an_error(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match=r"cannot write .*file/set\.tar\.gz: (File exists|Not a directory)"):
        fetch(f"{server}/whole", tmp_path / "file" / "set.tar.gz")
