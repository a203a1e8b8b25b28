"""Fetching one file of known checksum, or saying within seconds why not."""

import hashlib
import http.client
import os
import queue
import threading
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from training.data.progress import advancing
from training.errors import DataError

ANSWER_WITHIN = 6.0
"""Seconds until the server has to have answered: name look-up, connection and TLS together."""
STALLED_AFTER = 20.0
"""Seconds without a byte that end a download."""

_BLOCK = 1 << 18


class DownloadError(DataError):
    """The file cannot be had: no network, no server, or not the right file."""


def download(url: str, target: Path, *, md5: str, size: int, what: str, console: Console) -> None:
    """Bring a file to `target`, which appears whole and with the right checksum or not at all.

    Args:
        url: Address of the file; http or https. A redirect or a proxy of the environment is followed.
        target: Path to write; its folder is made.
        md5: Checksum that its bytes must have.
        size: Size in bytes; a longer file is cut off unread.
        what: Name of the file in messages.
        console: Console for the size and the progress.

    Raises:
        DownloadError: No network, or the file is not the one expected.
        DataError: `target` cannot be written.
    """
    host = urllib.parse.urlsplit(url).netloc
    title = f"downloading {what} ({size / 1e6:,.0f} MB) from {host} to {target}"
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file, advancing(console, title, size, in_bytes=True) as advance:
            digest, got = hashlib.md5(usedforsecurity=False), 0
            with _answer(url, host) as answer:
                while block := _block(answer, host):
                    got += len(block)
                    if got > size:
                        raise DownloadError(
                            f"{what} from {host} is longer than its {size:,} bytes: not the file"
                        )
                    file.write(block)
                    digest.update(block)
                    advance(len(block))
            file.flush()
            os.fsync(file.fileno())
        if got < size:
            raise DownloadError(
                f"{what} from {host} broke off after {got / 1e6:,.1f} of {size / 1e6:,.1f} MB"
            )
        if digest.hexdigest() != md5:
            raise DownloadError(
                f"{what} from {host} has md5 {digest.hexdigest()} and not {md5}: not the file, or damaged"
            )
        part.replace(target)
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _answer(url: str, host: str) -> http.client.HTTPResponse:
    """Open `url` in a thread of its own: no time-out of Python's bounds the look-up of a name."""
    request = urllib.request.Request(url, headers={"User-Agent": "rfcalc"})
    answers: queue.SimpleQueue[http.client.HTTPResponse | Exception] = queue.SimpleQueue()
    given_up = threading.Event()

    def ask() -> None:
        try:
            answer = urllib.request.urlopen(request, timeout=STALLED_AFTER)
        except Exception as error:  # handed over, and judged there
            answers.put(error)
            return
        answers.put(answer)
        if given_up.is_set():
            answer.close()

    threading.Thread(target=ask, name="download", daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_WITHIN)
    except queue.Empty:
        given_up.set()
        raise DownloadError(f"{host} did not answer within {ANSWER_WITHIN:.0f} s") from None
    if isinstance(answer, (OSError, http.client.HTTPException)):
        reason = getattr(answer, "reason", None) or answer
        raise DownloadError(f"{host} cannot be reached: {' '.join(str(reason).split())}") from answer
    if isinstance(answer, Exception):
        raise answer
    return answer


def _block(answer: http.client.HTTPResponse, host: str) -> bytes:
    try:
        return answer.read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(
            f"the download from {host} broke off: {str(error) or type(error).__name__}"
        ) from error
