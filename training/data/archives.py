"""Reading archives that may be broken or hostile: member by member, into memory, never onto the disk.

Nothing is unpacked, so a member's name is only ever text. Names that try to leave the archive, links, devices
and archives that blow up are refused all the same, with the reason: such a file is not what its user thinks.
Limits are enforced on the bytes that arrive, whatever the headers promise.
"""

import gzip
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import IO

from training.data import tar
from training.errors import DataError

SUFFIXES = (".tar", ".tar.xz", ".tar.gz", ".tgz", ".zip")

_PIECE = 1 << 20

# On garbage the standard library's parsers raise more than their own errors (found by flipping bytes).
_DAMAGE = (
    *(EOFError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, gzip.BadGzipFile),
    *(ValueError, IndexError, KeyError, OverflowError, RuntimeError, struct.error),
)


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold before it is refused."""

    members: int = 2_000_000
    member_bytes: int = 64 << 20
    total_bytes: int = 64 << 30
    ratio: int = 200
    """Unpacked bytes per byte on disk; judged beyond `ratio_from`, since tiny files pack well."""
    ratio_from: int = 256 << 20


LIMITS = Limits()


@dataclass(frozen=True)
class Member:
    """A file of an archive, or an empty `data` with `is_folder` for a folder."""

    path: tuple[str, ...]
    """Its name's parts, without "." and with neither "..", a root nor a drive."""
    data: bytes
    position: int
    """Bytes of the source that are behind it: for a progress bar."""
    is_folder: bool = False


def suffix_of(path: Path) -> str | None:
    """Return which of `SUFFIXES` a file name ends in, None for another."""
    return max((s for s in SUFFIXES if path.name.lower().endswith(s)), key=len, default=None)


def shown(name: str | tuple[str, ...]) -> str:
    """Return a member's name as one harmless line: control characters and broken encodings escaped."""
    text = name if isinstance(name, str) else "/".join(name)
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
    return text if len(text) <= 120 else f"{text[:80]}...{text[-37:]}"


def members(archive: Path, limits: Limits = LIMITS) -> Iterator[Member]:
    """Yield an archive's files and folders in its own order; hidden ones and `__MACOSX` are passed over.

    Args:
        archive: A file whose name ends in one of `SUFFIXES`.
        limits: Bounds beyond which the archive is refused.

    Raises:
        DataError: The archive is missing, damaged, truncated, encrypted, oversized or hostile.
    """
    read = _zip_members if suffix_of(archive) == ".zip" else _tar_members
    seen: set[tuple[str, ...]] = set()
    try:
        for count, member in enumerate(read(archive, limits), start=1):
            if count > limits.members:
                raise DataError(f"{archive}: more than {limits.members:,} members; refused")
            if any(part.startswith(".") or part == "__MACOSX" for part in member.path) or not member.path:
                continue
            if not member.is_folder:
                if member.path in seen:
                    raise DataError(f"{archive}: {shown(member.path)} is there twice; refused")
                seen.add(member.path)
            yield member
    except _DAMAGE as error:
        raise DataError(
            f"{archive}: truncated or damaged ({_reason(error)}); get it again and compare its checksum"
        ) from error
    except OSError as error:
        raise DataError(f"{archive}: cannot be read: {error.strerror or error}") from error


def _tar_members(archive: Path, limits: Limits) -> Iterator[Member]:
    with ExitStack() as stack:
        raw = stack.enter_context(archive.open("rb"))
        suffix = suffix_of(archive)
        unpacked: IO[bytes] | BufferedIOBase = raw
        if suffix == ".tar.xz":
            unpacked = stack.enter_context(lzma.open(raw))
        elif suffix in (".tar.gz", ".tgz"):
            unpacked = stack.enter_context(gzip.open(raw))
        capped = _Capped(unpacked, archive, limits)
        reader = tar.TarReader(capped)
        try:
            for entry in reader.entries():
                path = _parts(entry.name, archive)
                if entry.kind == "folder":
                    yield Member(path, b"", raw.tell(), is_folder=True)
                    continue
                if entry.kind != "file":
                    raise DataError(
                        f"{archive}: {shown(entry.name)} is {entry.kind}, not a plain file; refused"
                    )
                if entry.size > limits.member_bytes:
                    raise _too_large(archive, entry.name, limits)
                yield Member(path, reader.content(entry), raw.tell())
        except tar.RefusedError as error:
            raise DataError(f"{archive}: {shown(str(error))}; refused") from error
        while capped.read(_PIECE):  # the packer's own checksum is at the end
            pass


def _zip_members(archive: Path, limits: Limits) -> Iterator[Member]:
    ratio_cap = max(limits.ratio * archive.stat().st_size, limits.ratio_from)
    total = position = 0
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            path = _parts(info.filename, archive)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                yield Member(path, b"", position, is_folder=True)
                continue
            if kind not in (0, stat.S_IFREG):
                raise DataError(
                    f"{archive}: {shown(info.filename)} is a link or device, not a plain file; refused"
                )
            if info.flag_bits & 1:
                raise DataError(
                    f"{archive}: {shown(info.filename)} is protected by a password; "
                    "unpack it and name the folder"
                )
            pieces, size = [], 0
            try:
                with packed.open(info) as file:
                    while piece := file.read(_PIECE):
                        size += len(piece)
                        total += len(piece)
                        if size > limits.member_bytes:
                            raise _too_large(archive, info.filename, limits)
                        _check_total(archive, total, ratio_cap, limits)
                        pieces.append(piece)
            except NotImplementedError as error:
                raise DataError(
                    f"{archive}: {shown(info.filename)}: {error}; pack it with ordinary deflate"
                ) from error
            position += info.compress_size
            yield Member(path, b"".join(pieces), position)


class _Capped:
    """A readable that stops an archive which unpacks to too much."""

    def __init__(self, source: IO[bytes] | BufferedIOBase, archive: Path, limits: Limits) -> None:
        self._source, self._archive, self._limits = source, archive, limits
        self._total = 0
        self._ratio_cap = max(limits.ratio * archive.stat().st_size, limits.ratio_from)

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self._total += len(data)
        _check_total(self._archive, self._total, self._ratio_cap, self._limits)
        return data


def _check_total(archive: Path, total: int, ratio_cap: int, limits: Limits) -> None:
    if total > limits.total_bytes:
        raise DataError(f"{archive}: unpacks to more than {limits.total_bytes >> 20:,} MiB; refused")
    if total > ratio_cap:
        raise DataError(f"{archive}: unpacks to more than {limits.ratio} times its size (a bomb?); refused")


def _parts(name: str, archive: Path) -> tuple[str, ...]:
    # Some packers of Windows write backslashes.
    parts = name.replace("\\", "/").split("/")
    if (not parts[0] and len(parts) > 1) or parts[0].endswith(":"):
        raise DataError(f"{archive}: {shown(name)} has an absolute path; refused")
    if ".." in parts:
        raise DataError(f"{archive}: {shown(name)} points outside the archive; refused")
    return tuple(part for part in parts if part not in ("", "."))


def _too_large(archive: Path, name: str, limits: Limits) -> DataError:
    return DataError(f"{archive}: {shown(name)} holds more than {limits.member_bytes >> 20:,} MiB; refused")


def _reason(error: BaseException) -> str:
    return shown(" ".join(str(error).split())) or type(error).__name__
