"""A stranger's URL: hostile ones are refused, no socket to a private address is opened."""

import asyncio
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import httpcore2
import pytest

from serve import fetch
from serve.addresses import Address
from serve.errors import ProblemError, ServeError
from serve.fetch import Fetcher, Pattern, PublicOnly, look_up, split, unreachable

Web = Callable[[Callable[[Any], None]], int]

# Answered by the system itself, without a name server: literal addresses in every notation, and localhost.
_LITERAL = """
http://127.0.0.1/ http://127.1/ http://127.0.1/ http://0x7f000001/ http://0x7f.1/ http://2130706433/
http://017700000001/ http://0177.0.0.1/ http://0/ http://0.0.0.0/ http://0x0/ http://localhost/
http://LOCALHOST/ http://localhost./ http://[::1]/ http://[::]/ http://[::ffff:127.0.0.1]/
http://[::ffff:7f00:1]/ http://[0:0:0:0:0:0:0:1]/ http://[::127.0.0.1]/ http://10.0.0.1/ http://10.1/
http://172.16.0.1/ http://192.168.1.1/ http://169.254.169.254/latest/meta-data/ http://0xa9fea9fe/
http://2852039166/ http://[::ffff:a9fe:a9fe]/ http://[64:ff9b::a9fe:a9fe]/ http://[64:ff9b:1::a00:1]/
http://[2002:7f00:1::]/ http://[2002:a9fe:a9fe::]/ http://[2001:0:7f00:1::]/ http://[fec0::1]/
http://[fe80::1]/ http://[fc00::1]/ http://[fd00:ec2::254]/ http://[ff02::1]/ http://192.0.0.192/
http://100.64.0.1/ http://100.100.100.200/ http://168.63.129.16/ http://198.18.0.1/ http://224.0.0.1/
http://255.255.255.255/ http://240.0.0.1/ https://127.0.0.1/ https://[::1]/
"""
LITERAL = [
    *_LITERAL.split(),
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",  # full-width digits
    "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/",  # circled ones
    "http://127\u30020\u30020\u30021/",  # ideographic full stops
]
_FORM = """
file:///etc/passwd gopher://127.0.0.1/ ftp://127.0.0.1/ data:image/png;base64,AA javascript:1
http:///a http:127.0.0.1 //127.0.0.1/ http://user@127.0.0.1/ http://a:b@127.0.0.1/
http://example.com@127.0.0.1/ http://127.0.0.1:22/ http://127.0.0.1:8123/ http://127.0.0.1:0/
http://127.0.0.1:99999/ http://127.0.0.1:-1/ http://[fe80::1%25eth0]/ http://127.0.0.1%2f@a/
http://[::1/ unix:///run/docker.sock http+unix://a/
"""
FORM = [
    *_FORM.split(),
    "http://127.0.0.1\\@example.com/",
    "http://127.0.0.1\r\nHost: a/",
    "http://127.0.0.1/\x00",
    "http://a b/",
    "http://example.com/" + "a" * 2048,
    "http://" + "a" * 300 + "\xe9/",
    " http://127.0.0.1/",
]


def fetched(fetcher: Fetcher, url: str) -> bytes:
    return asyncio.run(fetcher.fetch(url))


def refused(fetcher: Fetcher, url: str) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        fetched(fetcher, url)
    return caught.value


def test_there_are_60_hostile_urls_and_more() -> None:
    assert len(LITERAL) + len(FORM) >= 60


@pytest.mark.parametrize("url", LITERAL)
def test_no_notation_of_a_private_address_is_connected_to(url: str, sockets: list[Any]) -> None:
    start = time.monotonic()
    problem = refused(Fetcher(largest=1000), url)
    assert (problem.status, problem.detail) == (502, unreachable().detail)
    assert time.monotonic() - start < 6
    assert sockets == []


@pytest.mark.parametrize("url", FORM, ids=range(len(FORM)))
def test_hostile_forms_are_refused_without_asking_anybody(url: str, sockets: list[Any]) -> None:
    assert refused(Fetcher(largest=1000), url).status == 400
    assert sockets == []


def backend(
    answers: list[list[str]], port: int, seen: list[str], **settings: Any
) -> httpcore2.AsyncNetworkBackend:
    """A backend whose name server gives these answers in turn; what it connects to lies on loopback."""

    async def resolve(host: str, number: int) -> list[Address]:
        return [ip_address(each) for each in (answers.pop(0) if len(answers) > 1 else answers[0])]

    async def connect(host: str, number: int, **more: Any) -> httpcore2.AsyncNetworkStream:
        seen.append(host)
        return await httpcore2.AnyIOBackend().connect_tcp("127.0.0.1", port, **more)

    return PublicOnly(resolve=resolve, connect=connect, **settings)


def plain(body: bytes = b"picture", status: int = 200, **headers: str) -> Callable[[Any], None]:
    def handle(request: Any) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return handle


def test_the_connection_goes_to_the_address_that_was_checked(web: Web) -> None:
    hosts: list[str] = []
    port = web(lambda request: (hosts.append(request.headers["Host"]), plain()(request))[1])
    seen: list[str] = []
    found = Fetcher(largest=1000, backend=backend([["8.8.8.8"]], port, seen))
    assert fetched(found, "http://cats.example/a?b=c") == b"picture"
    assert seen == ["8.8.8.8"]
    assert hosts == ["cats.example"]  # the name is kept


@pytest.mark.parametrize(
    "addresses",
    [
        ["8.8.8.8", "127.0.0.1"],
        ["10.0.0.1", "8.8.8.8"],
        ["2606:4700::1", "::1"],
        ["8.8.8.8", "64:ff9b::7f00:1"],
    ],
)
def test_one_private_address_among_public_ones_is_enough(addresses: list[str], web: Web) -> None:
    seen: list[str] = []
    found = Fetcher(largest=1000, backend=backend([addresses], web(plain()), seen))
    assert refused(found, "http://mixed.example/").status == 502
    assert seen == []


def test_rebinding_is_seen_at_the_second_connection(web: Web) -> None:
    """The name server first names a public address, then loopback; the redirect makes it asked again."""
    seen: list[str] = []
    port = web(plain(b"", 302, Location="/again"))
    found = Fetcher(largest=1000, backend=backend([["8.8.8.8"], ["127.0.0.1"]], port, seen))
    assert refused(found, "http://rebinding.example/").detail == unreachable().detail
    assert seen == ["8.8.8.8"]


@pytest.mark.parametrize(
    "there",
    [
        *("http://169.254.169.254/", "http://[::1]/", "http://127.1/", "file:///etc/passwd", "//localhost/"),
        *(
            "http://a:b@example.com/",
            "http://example.com:22/",
            "gopher://example.com/",
            "http://[2002:7f00:1::]/",
        ),
    ],
)
def test_each_hop_of_a_redirect_is_checked(there: str, web: Web, sockets: list[Any]) -> None:
    port = web(plain(b"", 302, Location=there))
    seen: list[str] = []
    first = True

    async def resolve(host: str, number: int) -> list[Address]:
        nonlocal first
        if first:
            first = False
            return [ip_address("8.8.8.8")]
        return await look_up(host, number)

    async def connect(host: str, number: int, **more: Any) -> httpcore2.AsyncNetworkStream:
        seen.append(host)
        return await httpcore2.AnyIOBackend().connect_tcp("127.0.0.1", port, **more)

    found = Fetcher(largest=1000, backend=PublicOnly(resolve=resolve, connect=connect))
    assert refused(found, "http://cats.example/").detail == unreachable().detail
    assert seen == ["8.8.8.8"]
    assert sockets == [("127.0.0.1", port)]


def local(web: Web, handler: Callable[[Any], None], **settings: Any) -> tuple[Fetcher, str]:
    fetcher = Fetcher(largest=1000, allow_private=True, **settings)
    return fetcher, f"http://127.0.0.1:{web(handler)}/"


def test_a_redirect_is_followed(web: Web) -> None:
    def handle(request: Any) -> None:
        plain(b"", 301, Location="/cat.png")(request) if request.path == "/" else plain(b"cat")(request)

    assert fetched(*local(web, handle)) == b"cat"


def test_a_circle_of_redirects_ends(web: Web) -> None:
    asked: list[str] = []
    handle = plain(b"", 307, Location="/")
    fetcher, url = local(web, lambda request: (asked.append(request.path), handle(request))[1])
    assert refused(fetcher, url).status == 502
    assert len(asked) == fetch.HOPS


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        (plain(b"a" * 1001), 413),
        (plain(b"", Content_Length="5000"), 413),
        (plain(b"a", Content_Encoding="gzip"), 502),
        (plain(b"a", 404), 502),
        (plain(b"a", 204), 502),
        (plain(b"", 302), 502),
        (lambda request: request.wfile.write(b"nonsense\r\n\r\n"), 502),
        (lambda request: request.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000), 502),
        (lambda request: None, 502),
    ],
)
def test_what_a_hostile_server_answers_is_bounded(web: Web, handler: Any, status: int) -> None:
    assert refused(*local(web, handler)).status == status


def test_an_endless_body_is_cut(web: Web) -> None:
    def endless(request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(b"a" * 4096)

    assert refused(*local(web, endless)).status == 413


def test_a_drip_is_ended_by_the_total_time(web: Web) -> None:
    def drip(request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"a")
            time.sleep(0.05)

    start = time.monotonic()
    assert refused(*local(web, drip, seconds=0.4)).detail == unreachable().detail
    assert time.monotonic() - start < 3


def test_refused_unreachable_and_slow_read_alike(web: Web) -> None:
    with_nobody = "http://127.0.0.1:1/"
    assert refused(Fetcher(largest=9, allow_private=True), with_nobody).to_json() == unreachable().to_json()


def test_proxy_variables_are_not_read(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetched(*local(web, plain())) == b"picture"


@pytest.mark.parametrize(
    ("pattern", "url", "allowed"),
    [
        ("https://*.example.com", "https://a.example.com/b", True),
        ("https://*.example.com", "https://a.b.example.com/", True),
        ("https://*.example.com", "http://a.example.com/", False),
        ("https://*.example.com", "https://example.com/", False),
        ("https://*.example.com", "https://evil.org/.example.com", False),
        ("https://example.com/cats/*", "https://example.com/cats/1.png?a=b", True),
        ("https://example.com/cats/*", "https://example.com/dogs/1.png", False),
        ("https://example.com", "https://example.com.evil.org/", False),
        ("https://example.com", "https://EXAMPLE.com./", True),
        ("*://example.com", "http://example.com/", True),
    ],
)
def test_patterns_match_part_by_part(pattern: str, url: str, allowed: bool) -> None:
    assert Pattern.read(pattern).allows(split(url)) is allowed


def test_allowed_urls_hold_for_redirects_too(web: Web) -> None:
    fetcher, url = local(web, plain(b"", 302, Location="/b"), patterns=[Pattern.read("http://127.0.0.1/")])
    assert refused(fetcher, url.replace("127.0.0.1", "localhost")).status == 403
    fetcher, url = local(web, plain(b"", 302, Location="/b"), patterns=[Pattern("http", "127.0.0.1", "/")])
    assert refused(fetcher, url).status == 502


@pytest.mark.parametrize("text", ["example.com", "ftp://a", "https://", "https://a:80/", "https://a@b/", "*"])
def test_a_pattern_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ServeError, match="--allow-url"):
        Pattern.read(text)
