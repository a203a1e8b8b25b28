"""From a request to the bytes of its picture: JSON with a URL, an upload, or the picture as the body."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from email.message import Message

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from serve.errors import ProblemError
from serve.fetch import Fetcher

LARGEST = 8_000_000
"""Bytes of a picture, sent or fetched."""
_LARGEST_JSON = 16_384
_ROOM = 4096
"""Bytes that a multipart body may have beside its file."""
_WAY_OUT = (
    'send JSON such as {"url": "https://example.com/cat.jpg"}, a multipart form with a file, or a picture as '
    "the body with its Content-Type"
)


class _InMemory(MultiPartParser):
    """Keeps files in memory, which `LARGEST` bounds: nothing of a stranger's goes to the disk."""

    spool_max_size = LARGEST + _ROOM


async def picture(request: Request, fetcher: Fetcher | None) -> bytes:
    """Return the bytes of the picture that a request sends or names.

    Args:
        request: A POST request.
        fetcher: Fetches URLs; None: they are refused.

    Raises:
        ProblemError: There is none.
    """
    try:
        return await _picture(request, fetcher)
    except ClientDisconnect:
        raise ProblemError(400, "the client went away") from None


async def _picture(request: Request, fetcher: Fetcher | None) -> bytes:
    kind = _kind(request)
    if kind == "multipart/form-data":
        return await _uploaded(request)
    if kind.startswith("image/") or kind == "application/octet-stream":
        return _not_empty(await _body(request, LARGEST))
    # curl --data without a header calls its JSON a form.
    if kind in ("application/json", "application/x-www-form-urlencoded", "text/plain", ""):
        return await _named(await _body(request, _LARGEST_JSON), fetcher)
    raise ProblemError(415, f"a body of the type {kind!r} is not read; {_WAY_OUT}")


def _kind(request: Request) -> str:
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    return header.get_content_type() if request.headers.get("content-type") else ""


async def _body(request: Request, largest: int) -> bytes:
    body = bytearray()
    async for chunk in _bounded(request, largest):
        body += chunk
    return bytes(body)


async def _bounded(request: Request, largest: int) -> AsyncGenerator[bytes, None]:
    """Yield the body; one that is too large is refused as early as that is known."""
    # Closed, since the rest of the body is still on its way.
    too_large = ProblemError(
        413, f"the body has more than {largest:,} bytes; make the picture smaller", {"Connection": "close"}
    )
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > largest:
        raise too_large
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > largest:
            raise too_large
        yield chunk


async def _uploaded(request: Request) -> bytes:
    parser = _InMemory(
        request.headers, _bounded(request, LARGEST + _ROOM), max_files=1, max_fields=8, max_part_size=_ROOM
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise ProblemError(400, f"the form cannot be read: {error.message}; send one file in it") from error
    # A boundary that is missing, or headers of a part that are none.
    except (KeyError, ValueError, UnicodeError) as error:
        raise ProblemError(400, f"the form cannot be read; {_WAY_OUT}") from error
    try:
        for _, value in form.multi_items():
            if isinstance(value, UploadFile):
                return _not_empty(await value.read())
    finally:
        await form.close()
    raise ProblemError(400, f"the form holds no file; {_WAY_OUT}")


async def _named(body: bytes, fetcher: Fetcher | None) -> bytes:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ProblemError(400, f"the body is no JSON; {_WAY_OUT}") from None
    url = value.get("url") if isinstance(value, dict) else None
    if not isinstance(url, str) or not url:
        raise ProblemError(400, f"the JSON holds no url; {_WAY_OUT}")
    if fetcher is None:
        raise ProblemError(403, "this service fetches no addresses; upload the picture instead")
    return _not_empty(await fetcher.fetch(url))


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise ProblemError(400, f"the picture has no bytes; {_WAY_OUT}")
    return data
