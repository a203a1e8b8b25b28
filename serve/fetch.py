"""A stranger's URL: fetched within bounds, and never from a private address.

The address is checked where the socket is made: `PublicOnly.connect_tcp` looks the name up, refuses it if any
of its addresses is not public, and connects to one of the very addresses that it has checked. A check
before the request would leave time for a second answer of the name server (DNS rebinding). TLS and the Host
header keep the name. httpcore2 alone follows no redirects, reads no proxy variables, keeps no cookies and
decompresses nothing, so each hop is a new request through the same check.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import httpcore2

from records.errors import one_line
from serve.addresses import Address, is_public
from serve.errors import ProblemError, ServeError

LONGEST_URL = 2048
HOPS = 4
"""Requests for one picture: the first and three redirects."""
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
_ATTEMPTS = 3
"""Addresses of one name that are tried."""
_log = logging.getLogger("serve.fetch")

Resolve = Callable[[str, int], Awaitable[list[Address]]]
Connect = Callable[..., Awaitable[httpcore2.AsyncNetworkStream]]


class RefusedError(Exception):
    """A connection that was not made; the text is for the log alone."""


def unreachable() -> ProblemError:
    """Return the one problem of an address that is refused, unreachable or too slow.

    One text and one code for all three: otherwise the answers would map the network behind the service.
    """
    return ProblemError(
        502,
        "the picture could not be fetched: its address is refused, cannot be reached or is too slow; "
        "upload the picture instead",
    )


async def look_up(host: str, port: int) -> list[Address]:
    """Return every address of a name, as the system finds them; digits in any notation are an address."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(each[4][0]) for each in found))


class PublicOnly(httpcore2.AsyncNetworkBackend):
    """Makes TCP connections to public addresses alone.

    Args:
        allow_private: Whether private addresses are allowed, for a laboratory.
        resolve: Finds the addresses of a name.
        connect: Connects to an address.
    """

    def __init__(
        self, *, allow_private: bool = False, resolve: Resolve = look_up, connect: Connect | None = None
    ) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._connect = connect or httpcore2.AnyIOBackend().connect_tcp

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to one of the addresses of `host`, each of which was found to be public.

        Raises:
            RefusedError: One of them is not.
            httpcore2.ConnectError: None of them answers.
        """
        addresses = await self._resolve(host, port)
        private = [each for each in addresses if not is_public(each)]
        if private and not self._allow_private:
            raise RefusedError(f"{host} has the address {private[0]}, which is not public")
        error: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in addresses[:_ATTEMPTS]:
            try:
                return await self._connect(
                    str(address), port, timeout=timeout, socket_options=list(socket_options or ())
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as failed:
                error = failed
        raise error

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Refuse: a picture lies behind no socket of this machine."""
        raise RefusedError(f"{path} is a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        """Wait, as the pool does between attempts."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True)
class Pattern:
    """URLs that are allowed: shell patterns of the scheme, the host and the path."""

    scheme: str
    host: str
    path: str

    @classmethod
    def read(cls, text: str) -> Pattern:
        """Read "https://*.example.com/pictures/*"; without a path, any is allowed.

        Raises:
            ServeError: It is not of that form.
        """
        scheme, separator, rest = text.partition("://")
        host, slash, path = rest.partition("/")
        if not separator or scheme not in ("http", "https", "*") or not host or "@" in host or ":" in host:
            raise ServeError(
                f"--allow-url {text!r}: must be a scheme, a host and a path, such as "
                "'https://*.example.com/pictures/*'"
            )
        return cls(scheme, host.lower(), slash + path if path else "/*")

    def allows(self, url: SplitResult) -> bool:
        """Return whether a URL matches part by part, so that no host can be hidden in a path."""
        return (
            fnmatchcase(url.scheme, self.scheme)
            and fnmatchcase((url.hostname or "").rstrip("."), self.host)
            and fnmatchcase(url.path or "/", self.path)
        )


class Fetcher:
    """Fetches pictures by their URLs.

    Args:
        largest: Bytes of a picture at most.
        seconds: For everything: look-ups, connections, redirects, the body.
        allow_private: Whether private addresses and any port are allowed.
        patterns: Where not empty, each hop must match one of them.
        at_once: Pictures at the same time; others wait.
        backend: Makes the connections; by default `PublicOnly`.
        any_port: Whether ports other than 80 and 443 are allowed.
    """

    def __init__(
        self,
        *,
        largest: int,
        seconds: float = 5.0,
        allow_private: bool = False,
        patterns: Iterable[Pattern] = (),
        at_once: int = 16,
        backend: httpcore2.AsyncNetworkBackend | None = None,
        any_port: bool | None = None,
    ) -> None:
        self._largest, self._seconds = largest, seconds
        self._any_port = allow_private if any_port is None else any_port
        self._patterns = tuple(patterns)
        self._slots = asyncio.Semaphore(at_once)
        self._backend = backend or PublicOnly(allow_private=allow_private)
        self._tls: ssl.SSLContext | None = None

    async def fetch(self, text: str) -> bytes:
        """Return the bytes behind a URL.

        Raises:
            ProblemError: 400 the URL is none that is fetched; 403 no `--allow-url` matches; 413 too many
                bytes; 502 anything else.
        """
        url = self._checked(text)
        try:
            async with self._slots, asyncio.timeout(self._seconds):
                return await self._follow(url)
        except (RefusedError, OSError, TimeoutError, ssl.SSLError, UnicodeError) as error:
            reason = str(error) or type(error).__name__
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException) as error:
            reason = str(error) or type(error).__name__
        except httpcore2.UnsupportedProtocol as error:
            reason = str(error)
        _log.info("not fetched: %s: %s", one_line(text), one_line(reason))
        raise unreachable()

    async def _follow(self, url: SplitResult) -> bytes:
        """Request a URL and what it leads to."""
        if self._tls is None:
            self._tls = httpcore2.default_ssl_context()
        for _ in range(HOPS):
            # A pool for each hop: no connection outlives its check.
            async with httpcore2.AsyncConnectionPool(
                ssl_context=self._tls, network_backend=self._backend, max_connections=1
            ) as pool:
                found = await self._request(pool, url)
            if isinstance(found, bytes):
                return found
            url = found
        raise RefusedError("too many redirects")

    async def _request(self, pool: httpcore2.AsyncConnectionPool, url: SplitResult) -> bytes | SplitResult:
        """Return the body, or where the answer redirects to."""
        host, port = _host(url), url.port or _PORTS[url.scheme]
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        shown = f"[{host}]" if ":" in host else host
        headers = {
            "Host": shown if port == _PORTS[url.scheme] else f"{shown}:{port}",
            "Accept": "image/*",
            "Accept-Encoding": "identity",
            "User-Agent": "rfcalc-serve",
            "Connection": "close",
        }
        where = httpcore2.URL(scheme=url.scheme, host=host, port=port, target=_ascii(target))
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self._seconds)
        async with pool.stream(
            "GET", where, headers=list(headers.items()), extensions={"timeout": timeouts}
        ) as response:
            given = {name.lower(): value for name, value in response.headers}
            if response.status in _REDIRECTS and b"location" in given:
                there = urljoin(url.geturl(), given[b"location"].decode("latin-1"))
                try:
                    return self._checked(there)
                except ProblemError as problem:
                    raise RefusedError(f"a redirect to {there}: {problem.detail}") from problem
            if response.status != 200:
                raise RefusedError(f"the server answers {response.status}")
            if given.get(b"content-encoding", b"identity").strip().lower() != b"identity":
                raise RefusedError("the server compresses what was asked for plainly")
            return await self._body(response, given.get(b"content-length", b""))

    async def _body(self, response: httpcore2.Response, length: bytes) -> bytes:
        too_large = ProblemError(413, f"the picture has more than {self._largest:,} bytes; make it smaller")
        if length.isdigit() and int(length[:20]) > self._largest:
            raise too_large
        body = bytearray()
        async with contextlib.aclosing(response.aiter_stream()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > self._largest:
                    raise too_large
        return bytes(body)

    def _checked(self, text: str) -> SplitResult:
        """Return the parts of a URL that may be tried.

        Raises:
            ProblemError: It has a form that is refused without asking anybody.
        """
        url = split(text)
        if not self._any_port and url.port not in (None, 80, 443):
            raise ProblemError(400, f"the URL's port is {url.port}; only 80 and 443 are asked")
        if self._patterns and not any(pattern.allows(url) for pattern in self._patterns):
            raise ProblemError(403, "this service fetches no picture from there; upload it instead")
        return url


def split(text: str) -> SplitResult:
    """Return the parts of a URL.

    Raises:
        ProblemError: It is none of http or https, holds a password or what no URL holds, or is too long.
    """
    if len(text) > LONGEST_URL:
        raise ProblemError(400, f"the URL has {len(text):,} characters; at most {LONGEST_URL:,} are read")
    # Readers of URLs disagree about these, and so do the checks that rest on them.
    if "\\" in text or any(character.isspace() or not character.isprintable() for character in text):
        raise ProblemError(400, "the URL holds a blank, a control character or a backslash; write %20, %5C")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ProblemError(400, "the URL cannot be read; give one like https://example.com/cat.jpg") from None
    if url.scheme not in _PORTS or not url.hostname or port == 0:
        raise ProblemError(400, "the URL must begin with http:// or https:// and name a host")
    if "@" in url.netloc or "%" in url.netloc:
        raise ProblemError(400, "the URL holds a user name, a password or % in its host; leave them out")
    try:
        _host(url)
    except UnicodeError:
        raise ProblemError(400, "the URL's host is no name that can be looked up") from None
    return url


def _host(url: SplitResult) -> str:
    """Return the host in ASCII; full-width and circled digits become plain ones."""
    name = url.hostname or ""
    return name if name.isascii() else name.encode("idna").decode("ascii")


def _ascii(target: str) -> bytes:
    """Return a request's target with every other character as its percent-encoded UTF-8."""
    return b"".join(
        bytes([byte]) if byte < 128 else f"%{byte:02X}".encode() for byte in target.encode("utf-8")
    )
