"""Around every request: whose Host and Origin are taken, the headers of every answer, and counting.

The Host header is checked because DNS rebinding reaches a server on localhost, too: a page of the internet
whose name suddenly means 127.0.0.1 may read whatever this service answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import ProblemError
from serve.metrics import Metrics

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; media-src blob:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def problem_response(problem: ProblemError) -> JSONResponse:
    """Return the response of a problem."""
    return JSONResponse(
        problem.to_json(), problem.status, problem.headers, media_type="application/problem+json"
    )


class Guard:
    """Wraps an application.

    Args:
        app: The application.
        metrics: Counts its answers.
        hosts: Names that the Host header may hold, beside localhost and the address that was connected to.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, hosts: Iterable[str] = ()) -> None:
        self._app, self._metrics = app, metrics
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                # The route's own path: a stranger's would make a new series for each request.
                path = getattr(scope.get("route"), "path", "other")
                self._metrics.requests[path, message["status"]] += 1
            await send(message)

        problem = self._wrong(scope)
        await (self._app if problem is None else problem_response(problem))(scope, receive, guarded)

    def _wrong(self, scope: Scope) -> ProblemError | None:
        headers = Headers(scope=scope)
        given = headers.getlist("host")
        if len(given) != 1 or not self._is_ours(hostname(given[0]), scope):
            return ProblemError(
                400, "the Host header names another host; ask by the address, or start with --allow-host NAME"
            )
        origin = headers.get("origin")
        # A page of another site may send a form or a plain text here, though it cannot read the answer.
        if scope["method"] == "POST" and origin is not None and origin.partition("://")[2] != given[0]:
            return ProblemError(403, "pages of other sites may not use this service; open its own page")
        return None

    def _is_ours(self, name: str, scope: Scope) -> bool:
        if name in self._hosts or name == "localhost":
            return True
        try:
            address = ip_address(name)
        except ValueError:
            return False
        server = scope.get("server")
        return address.is_loopback or (server is not None and name == server[0])


def hostname(header: str) -> str:
    """Return the host of a Host header without its port: "[::1]:8123" as "::1"."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()
