import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.kill_serve import post

EXPECTED = ("dog", 0.75)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b'{"class": "dog", "confidence": "0.75001"}', "right"),
        (200, b'{"class": "cat", "confidence": "0.75"}', "wrong: 200"),
        (200, b'{"class": "dog", "confidence": "0.7"}', "wrong: 200"),
        (200, b'{"class": "dog", "confi', "wrong: 200"),
        (500, b'{"class": "dog", "confidence": "0.75"}', "wrong: 500"),
        (503, b"{}", "refused"),
        (None, b"", "cut"),
    ],
)
def test_what_comes_of_a_request_is_named(status, body, says):
    class Answers(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            if status is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            assert post(server.server_address[1], b"picture", EXPECTED).startswith(says)
        finally:
            server.shutdown()


def test_a_port_that_nobody_listens_on_accepts_nothing():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert post(port, b"picture", EXPECTED) == "not accepted"
